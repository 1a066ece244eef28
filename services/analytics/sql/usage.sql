-- The usage report. What ended is counted from RequestCompleted, what was charged from the ledger's own events: a charge stands
-- at the instant of its posting. `$table` is a rollup, or the raw rows with their run; the dimensions are blocks of
-- usage_dimensions.sql. A filter that is empty lets everything pass.

-- name: report
SELECT
    r.d0 AS d0,
    r.d1 AS d1,
    r.d2 AS d2,
    max(r.key_name) AS key_name,
    sum(r.requests) AS requests,
    sum(r.failed) AS failed,
    sum(r.attempts) AS attempts,
    sum(r.fallbacks) AS fallbacks,
    sum(r.input_tokens) AS input_tokens,
    sum(r.cached_input_tokens) AS cached_input_tokens,
    sum(r.cache_write_tokens) AS cache_write_tokens,
    sum(r.output_tokens) AS output_tokens,
    sum(r.reasoning_tokens) AS reasoning_tokens,
    sum(r.burned_tokens) AS burned_tokens,
    sumMap(r.cost) AS cost
FROM
(
    $usage
    UNION ALL
    $spend
) AS r
GROUP BY r.d0, r.d1, r.d2
HAVING {first:UInt8} = 1 OR (d0, d1, d2) > ({after0:String}, {after1:String}, {after2:String})
ORDER BY d0, d1, d2
LIMIT {limit:UInt32}

-- name: usage
SELECT
    toString($d0) AS d0,
    toString($d1) AS d1,
    toString($d2) AS d2,
    max(toString(u.key_name)) AS key_name,
    sum(toUInt64(u.requests)) AS requests,
    sumIf(toUInt64(u.requests), u.outcome = 'failed') AS failed,
    sum(toUInt64(u.attempts)) AS attempts,
    sum(toUInt64(u.fallbacks)) AS fallbacks,
    sum(toUInt64(u.input_tokens)) AS input_tokens,
    sum(toUInt64(u.cached_input_tokens)) AS cached_input_tokens,
    sum(toUInt64(u.cache_write_tokens)) AS cache_write_tokens,
    sum(toUInt64(u.output_tokens)) AS output_tokens,
    sum(toUInt64(u.reasoning_tokens)) AS reasoning_tokens,
    sum(toUInt64(u.burned_tokens)) AS burned_tokens,
    CAST(map(), 'Map(String, Int128)') AS cost
FROM $table AS u
WHERE u.at >= toDateTime({from_s:Int64}, 'UTC') AND u.at < toDateTime({to_s:Int64}, 'UTC')
    AND ({everyone:UInt8} = 1 OR u.account_id IN {accounts:Array(String)})
    AND ({project_id:String} = '' OR u.project_id = {project_id:String})
    AND ({key_id:String} = '' OR u.key_id = {key_id:String})
    AND ({model:String} = '' OR u.requested_model = {model:String})
    AND ({upstream_model:String} = '' OR u.upstream_model = {upstream_model:String})
    AND ({route_type:String} = '' OR u.route_type = {route_type:String})
    AND ({channel:String} = '' OR u.channel = {channel:String})
    AND ({bucket:String} = '' OR u.bucket = {bucket:String})
    AND hasAll(u.tags, {tags:Array(String)})
    AND arrayAll(name -> arrayExists(pair -> startsWith(pair, concat(name, '=')), u.tags), {tag_names:Array(String)})
GROUP BY d0, d1, d2

-- name: spend
-- What was charged to nobody (LateUsage) is no spend. Sums of all accounts outgrow the 64 bits that each charge has.
SELECT
    toString($d0) AS d0,
    toString($d1) AS d1,
    toString($d2) AS d2,
    '' AS key_name,
    toUInt64(0) AS requests,
    toUInt64(0) AS failed,
    toUInt64(0) AS attempts,
    toUInt64(0) AS fallbacks,
    toUInt64(0) AS input_tokens,
    toUInt64(0) AS cached_input_tokens,
    toUInt64(0) AS cache_write_tokens,
    toUInt64(0) AS output_tokens,
    toUInt64(0) AS reasoning_tokens,
    toUInt64(0) AS burned_tokens,
    sumMap(CAST(map(toString(u.currency), toInt128(u.spent_nano)), 'Map(String, Int128)')) AS cost
FROM $table AS u
WHERE u.at >= toDateTime({from_s:Int64}, 'UTC') AND u.at < toDateTime({to_s:Int64}, 'UTC')
    AND u.type != 'LateUsage'
    AND ({everyone:UInt8} = 1 OR u.account_id IN {accounts:Array(String)})
    AND ({project_id:String} = '' OR u.project_id = {project_id:String})
    AND ({key_id:String} = '' OR u.key_id = {key_id:String})
    AND ({model:String} = '' OR u.requested_model = {model:String})
    AND ({upstream_model:String} = '' OR u.upstream_model = {upstream_model:String})
    AND ({route_type:String} = '' OR u.route_type = {route_type:String})
    AND ({channel:String} = '' OR u.channel = {channel:String})
    AND ({bucket:String} = '' OR u.bucket = {bucket:String})
    AND hasAll(u.tags, {tags:Array(String)})
    AND arrayAll(name -> arrayExists(pair -> startsWith(pair, concat(name, '=')), u.tags), {tag_names:Array(String)})
GROUP BY d0, d1, d2

-- name: usage_with_runs
-- No rollup has runs, of which there are as many as one likes: their requests are read one by one.
(
    SELECT
        toDateTime(c.occurred_at, 'UTC') AS at,
        c.account_id AS account_id,
        c.project_id AS project_id,
        c.key_id AS key_id,
        c.key_name AS key_name,
        c.run_id AS run_id,
        arraySort(arrayMap((name, value) -> concat(name, '=', value), mapKeys(c.tags), mapValues(c.tags))) AS tags,
        c.requested_model AS requested_model,
        c.channel AS channel,
        c.route_type AS route_type,
        c.upstream_model AS upstream_model,
        c.bucket AS bucket,
        c.outcome AS outcome,
        1 AS requests,
        c.attempts AS attempts,
        c.fallbacks AS fallbacks,
        if(c.charged_attempt IS NULL, 0, c.input_tokens) AS input_tokens,
        if(c.charged_attempt IS NULL, 0, c.cached_input_tokens) AS cached_input_tokens,
        if(c.charged_attempt IS NULL, 0, c.cache_write_tokens) AS cache_write_tokens,
        if(c.charged_attempt IS NULL, 0, c.output_tokens) AS output_tokens,
        if(c.charged_attempt IS NULL, 0, c.reasoning_tokens) AS reasoning_tokens,
        c.burned_tokens AS burned_tokens
    FROM completions AS c FINAL
    WHERE c.occurred_at >= toDateTime64({from_s:Int64}, 6, 'UTC') AND c.occurred_at < toDateTime64({to_s:Int64}, 6, 'UTC')
        AND ({run_id:String} = '' OR c.run_id = {run_id:String})
)

-- name: spend_with_runs
(
    SELECT
        toDateTime(l.occurred_at, 'UTC') AS at,
        l.type AS type,
        l.account_id AS account_id,
        l.project_id AS project_id,
        l.key_id AS key_id,
        l.run_id AS run_id,
        arraySort(arrayMap((name, value) -> concat(name, '=', value), mapKeys(l.tags), mapValues(l.tags))) AS tags,
        l.requested_model AS requested_model,
        l.channel AS channel,
        l.route_type AS route_type,
        l.upstream_model AS upstream_model,
        l.bucket AS bucket,
        l.currency AS currency,
        ifNull(l.amount_nano, 0) + ifNull(l.overrun_nano, 0) AS spent_nano
    FROM ledger AS l FINAL
    WHERE l.type IN ('Captured', 'Expired')
        AND l.occurred_at >= toDateTime64({from_s:Int64}, 6, 'UTC') AND l.occurred_at < toDateTime64({to_s:Int64}, 6, 'UTC')
        AND ({run_id:String} = '' OR l.run_id = {run_id:String})
)
