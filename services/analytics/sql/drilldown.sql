-- Single requests, newest first, in pages: from raw rows, which have them one by one. None of these says FINAL, which would read
-- the whole range: the loader leaves out what it has already, and who asks drops what stands twice. Ranges are `from_us` to
-- before `to_us` (microseconds since 1970); a page begins behind `after_us` and `after_id` unless it is the first. A filter that
-- is empty lets everything pass; `$tagged` stands for 1, or for a
-- block of that name where a tag is asked for.

-- name: ended
SELECT *
FROM
(
    SELECT $completed
    FROM completions
    WHERE occurred_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
        AND ({first:UInt8} = 1 OR (occurred_at, event_id) < (fromUnixTimestamp64Micro({after_us:Int64}, 'UTC'), {after_id:UUID}))
        AND ({everyone:UInt8} = 1 OR account_id IN {accounts:Array(String)})
        AND ({project_id:String} = '' OR project_id = {project_id:String})
        AND ({key_id:String} = '' OR key_id = {key_id:String})
        AND ({run_id:String} = '' OR run_id = {run_id:String})
        AND ({model:String} = '' OR requested_model = {model:String} OR upstream_model = {model:String})
        AND ({channel:String} = '' OR channel = {channel:String})
        AND (empty({outcomes:Array(String)}) OR outcome IN {outcomes:Array(String)})
        AND ({error:String} = '' OR error_class = {error:String})
        AND ({fallbacks:UInt8} = 0 OR fallbacks > 0)
        AND ({burned:UInt8} = 0 OR burned_tokens > 0)
        AND $tagged
    ORDER BY occurred_at DESC, event_id DESC
    LIMIT {limit:UInt32}
    UNION ALL
    SELECT $rejected
    FROM requests
    WHERE type = 'RequestRejected' AND {rejections:UInt8} = 1
        AND occurred_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
        AND ({first:UInt8} = 1 OR (occurred_at, event_id) < (fromUnixTimestamp64Micro({after_us:Int64}, 'UTC'), {after_id:UUID}))
        AND ({everyone:UInt8} = 1 OR account_id IN {accounts:Array(String)})
        AND ({project_id:String} = '' OR project_id = {project_id:String})
        AND ({key_id:String} = '' OR key_id = {key_id:String})
        AND ({run_id:String} = '' OR run_id = {run_id:String})
        AND ({model:String} = '' OR requested_model = {model:String})
        AND ({error:String} = '' OR code = {error:String})
        AND ({tag:String} = '' OR arrayExists((name, value) -> concat(name, '=', value) = {tag:String}, mapKeys(tags), mapValues(tags)))
    ORDER BY occurred_at DESC, event_id DESC
    LIMIT {limit:UInt32}
)
ORDER BY at DESC, id DESC
LIMIT {limit:UInt32}

-- name: completed_columns
occurred_at AS at, event_id AS id, request_id, run_id AS run, account_id, project_id, key_id, key_name, environment, tags, client_api,
requested_model AS model, upstream_model AS answered_model, channel, route_type, outcome, error_class AS error, http_status, attempts,
fallbacks, if(isNull(charged_attempt), 0, input_tokens + cached_input_tokens + cache_write_tokens) AS input,
if(isNull(charged_attempt), 0, output_tokens) AS output, burned_tokens, bucket AS wallet, currency, cost_nano,
toNullable(latency_ms) AS latency_ms, ttft_ms

-- name: rejected_columns
occurred_at AS at, event_id AS id, request_id, run_id AS run, account_id, project_id, key_id, key_name, environment, tags, client_api,
requested_model AS model, '' AS answered_model, '' AS channel, '' AS route_type, 'rejected' AS outcome, code AS error, http_status,
toUInt16(0) AS attempts, toUInt16(0) AS fallbacks, toUInt64(0) AS input, toUInt64(0) AS output, toUInt64(0) AS burned_tokens,
'' AS wallet, '' AS currency, CAST(NULL, 'Nullable(Int64)') AS cost_nano, CAST(NULL, 'Nullable(Float64)') AS latency_ms,
CAST(NULL, 'Nullable(Float64)') AS ttft_ms

-- name: failures
-- Upstream calls that did not succeed, whatever became of their request: looked for in the hours of which the rollup says that they
-- have some, and in the last two, whose rows may not be summed up yet.
SELECT occurred_at AS at, event_id AS id, request_id
FROM attempts
WHERE type = 'AttemptFinished' AND outcome != 'succeeded'
    AND occurred_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
    AND ({first:UInt8} = 1 OR (occurred_at, event_id) < (fromUnixTimestamp64Micro({after_us:Int64}, 'UTC'), {after_id:UUID}))
    AND ({everyone:UInt8} = 1 OR account_id IN {accounts:Array(String)})
    AND ({project_id:String} = '' OR project_id = {project_id:String})
    AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({run_id:String} = '' OR run_id = {run_id:String})
    AND ({model:String} = '' OR requested_model = {model:String} OR upstream_model = {model:String})
    AND ({from_channel:String} = '' OR channel = {from_channel:String})
    AND ({error:String} = '' OR error_class = {error:String} OR (error_class = '' AND outcome = {error:String}))
    AND
    (
        occurred_at >= now() - INTERVAL 2 HOUR
        OR toStartOfHour(occurred_at) IN
        (
            SELECT at
            FROM attempts_hour
            WHERE at >= toStartOfHour(fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')) AND at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
                AND outcome != 'succeeded'
                AND ({from_channel:String} = '' OR channel = {from_channel:String})
                AND ({key_id:String} = '' OR key_id = {key_id:String})
                AND ({error:String} = '' OR error_class = {error:String} OR (error_class = '' AND outcome = {error:String}))
                AND ({tag:String} = '' OR has(tags, {tag:String}))
        )
    )
    AND $tagged
ORDER BY occurred_at DESC, event_id DESC
LIMIT {limit:UInt32}

-- name: steps
-- Steps from one channel to the next.
SELECT occurred_at AS at, event_id AS id, request_id
FROM attempts
WHERE type = 'FallbackTaken'
    AND occurred_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
    AND ({first:UInt8} = 1 OR (occurred_at, event_id) < (fromUnixTimestamp64Micro({after_us:Int64}, 'UTC'), {after_id:UUID}))
    AND ({everyone:UInt8} = 1 OR account_id IN {accounts:Array(String)})
    AND ({project_id:String} = '' OR project_id = {project_id:String})
    AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({run_id:String} = '' OR run_id = {run_id:String})
    AND ({model:String} = '' OR requested_model = {model:String})
    AND ({from_channel:String} = '' OR channel = {from_channel:String})
    AND ({to_channel:String} = '' OR to_channel = {to_channel:String})
    AND ({error:String} = '' OR fallback_reason = {error:String})
    AND $tagged
ORDER BY occurred_at DESC, event_id DESC
LIMIT {limit:UInt32}

-- name: completed
-- Some requests that ended within some hours: the hours keep it from reading all that lies between the oldest and the newest.
SELECT $completed
FROM completions
WHERE toStartOfHour(occurred_at) IN {hours:Array(DateTime('UTC'))} AND request_id IN {request_ids:Array(UUID)}

-- name: tagged_ended
-- A tag's rows: looked for in the hours of which the rollup says that they have some, as maps of tags are slow to read; and in the
-- last two.
(
    occurred_at >= now() - INTERVAL 2 HOUR
    OR toStartOfHour(occurred_at) IN
    (
        SELECT at
        FROM usage_hour
        WHERE at >= toStartOfHour(fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')) AND at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
            AND ({key_id:String} = '' OR key_id = {key_id:String}) AND has(tags, {tag:String})
    )
)
AND arrayExists((name, value) -> concat(name, '=', value) = {tag:String}, mapKeys(tags), mapValues(tags))

-- name: tagged_failures
arrayExists((name, value) -> concat(name, '=', value) = {tag:String}, mapKeys(tags), mapValues(tags))

-- name: tagged_steps
(
    occurred_at >= now() - INTERVAL 2 HOUR
    OR toStartOfHour(occurred_at) IN
    (
        SELECT at
        FROM fallbacks_hour
        WHERE at >= toStartOfHour(fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')) AND at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
            AND ({key_id:String} = '' OR key_id = {key_id:String}) AND has(tags, {tag:String})
    )
)
AND arrayExists((name, value) -> concat(name, '=', value) = {tag:String}, mapKeys(tags), mapValues(tags))

-- name: unsettled_since
-- When the oldest request ended that the ledger has not read yet: `next` is the ledger's place in each of the `partitions`.
SELECT minOrNull(occurred_at) AS at
FROM completions
WHERE occurred_at >= now() - INTERVAL 7 DAY
    AND kafka_offset >= transform(kafka_partition, {partitions:Array(UInt16)}, {next:Array(UInt64)}, toUInt64(18446744073709551615))
