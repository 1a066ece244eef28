-- By what usage is summed, as each row has it. `$n` is the place of the dimension.

-- name: none
''

-- name: account
u.account_id

-- name: project
u.project_id

-- name: key
u.key_id

-- name: run
u.run_id

-- name: model
u.requested_model

-- name: upstream_model
u.upstream_model

-- name: route_type
u.route_type

-- name: channel
u.channel

-- name: bucket
u.bucket

-- name: tag
arrayJoin(if(empty(u.tags), [''], CAST(u.tags, 'Array(String)')))

-- name: tag_value
substring(arrayFirst(pair -> startsWith(pair, concat({tag$n:String}, '=')), u.tags), length({tag$n:String}) + 2)

-- name: day
-- `day_starts` are the seconds in which the days begin, `day_names` what they are called.
transform(
    roundDown(toInt64(toUnixTimestamp(u.at)), {day_starts:Array(Int64)}),
    {day_starts:Array(Int64)},
    {day_names:Array(String)},
    ''
)

-- name: hour
-- `shift_starts` are the seconds from which clocks show `shifts` seconds past the hour of UTC. An hour ends where that changes.
greatest(
    roundDown(toInt64(toUnixTimestamp(u.at)), {shift_starts:Array(Int64)}),
    toInt64(toUnixTimestamp(u.at)) - (
        toInt64(toUnixTimestamp(u.at)) + transform(
            roundDown(toInt64(toUnixTimestamp(u.at)), {shift_starts:Array(Int64)}),
            {shift_starts:Array(Int64)},
            {shifts:Array(Int64)},
            toInt64(0)
        )
    ) % 3600
)
