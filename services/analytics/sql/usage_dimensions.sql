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
toDate(u.at, {zone:String})

-- name: hour
toUnixTimestamp(toStartOfInterval(u.at, INTERVAL 1 HOUR, {zone:String}))
