-- What the dashboard asks of the rollups, for steps of whole minutes or hours; dashboard_raw.sql has the same for shorter ones.
-- Every query takes `from_s` and `to_s` (seconds since 1970, the end excluded), the filters `project_id`, `key_id` and `tag`
-- (name=value; empty: all), and the rollup's name; those over time also `step_s`. Amounts of different currencies are never added.

-- name: requests_over_time
SELECT bucket, outcome, sum(counted) AS requests
FROM
(
    SELECT intDiv(toUnixTimestamp(at), {step_s:Int64}) * {step_s:Int64} AS bucket, toString(outcome) AS outcome, requests AS counted
    FROM {usage:Identifier}
    WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC')
        AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
        AND ({tag:String} = '' OR has(tags, {tag:String}))
    UNION ALL
    SELECT intDiv(toUnixTimestamp(at), {step_s:Int64}) * {step_s:Int64} AS bucket, 'rejected' AS outcome, requests AS counted
    FROM {rejections:Identifier}
    WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC')
        AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
        AND ({tag:String} = '' OR has(tags, {tag:String}))
)
GROUP BY bucket, outcome

-- name: tokens_over_time
-- Classes that do not overlap: `burned` are tokens of attempts that nobody is charged for.
SELECT
    intDiv(toUnixTimestamp(at), {step_s:Int64}) * {step_s:Int64} AS bucket,
    sum(input_tokens) AS input,
    sum(cached_input_tokens) AS cached_input,
    sum(cache_write_tokens) AS cache_write,
    sum(output_tokens) AS output,
    sum(burned_tokens) AS burned
FROM {usage:Identifier}
WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC')
    AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({tag:String} = '' OR has(tags, {tag:String}))
GROUP BY bucket

-- name: spend_over_time
-- What customers were charged: captures with their overrun, and the recorded progress of expired holds.
SELECT
    intDiv(toUnixTimestamp(at), {step_s:Int64}) * {step_s:Int64} AS bucket,
    currency,
    spent.bucket AS wallet,
    if(type = 'Expired', 'expired', route_type) AS route,
    sum(spent.spent_nano) AS spent_nano,
    sum(spent.charges) AS charges
FROM {spend:Identifier} AS spent
WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC')
    AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({tag:String} = '' OR has(tags, {tag:String}))
    AND type IN ('Captured', 'Expired')
GROUP BY bucket, currency, wallet, route

-- name: fallbacks_over_time
SELECT intDiv(toUnixTimestamp(at), {step_s:Int64}) * {step_s:Int64} AS bucket, from_channel, to_channel, sum(rolled.fallbacks) AS fallbacks
FROM {fallbacks:Identifier} AS rolled
WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC')
    AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({tag:String} = '' OR has(tags, {tag:String}))
GROUP BY bucket, from_channel, to_channel

-- name: latency_over_time
-- From histograms: within 2.5% of the exact quantile. Each histogram is read and added up once; one without values has no quantile.
SELECT
    bucket,
    if(latencies = 0, NULL, pow(1.05, latency[1])) AS latency_p50,
    if(latencies = 0, NULL, pow(1.05, latency[2])) AS latency_p99,
    if(ttfts = 0, NULL, pow(1.05, ttft[1])) AS ttft_p50,
    if(ttfts = 0, NULL, pow(1.05, ttft[2])) AS ttft_p99
FROM
(
    SELECT
        intDiv(toUnixTimestamp(at), {step_s:Int64}) * {step_s:Int64} AS bucket,
        sum(length(latency_hist)) AS latencies,
        sum(length(ttft_hist)) AS ttfts,
        quantilesExactWeightedArray(0.5, 0.99)(mapKeys(latency_hist), mapValues(latency_hist)) AS latency,
        quantilesExactWeightedArray(0.5, 0.99)(mapKeys(ttft_hist), mapValues(ttft_hist)) AS ttft
    FROM {usage:Identifier}
    WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC')
        AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
        AND ({tag:String} = '' OR has(tags, {tag:String}))
        AND outcome = 'succeeded'
    GROUP BY bucket
)

-- name: latency
SELECT
    if(latencies = 0, NULL, pow(1.05, latency[1])) AS latency_p50,
    if(latencies = 0, NULL, pow(1.05, latency[2])) AS latency_p99,
    if(ttfts = 0, NULL, pow(1.05, ttft[1])) AS ttft_p50,
    if(ttfts = 0, NULL, pow(1.05, ttft[2])) AS ttft_p99
FROM
(
    SELECT
        sum(length(latency_hist)) AS latencies,
        sum(length(ttft_hist)) AS ttfts,
        quantilesExactWeightedArray(0.5, 0.99)(mapKeys(latency_hist), mapValues(latency_hist)) AS latency,
        quantilesExactWeightedArray(0.5, 0.99)(mapKeys(ttft_hist), mapValues(ttft_hist)) AS ttft
    FROM {usage:Identifier}
    WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC')
        AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
        AND ({tag:String} = '' OR has(tags, {tag:String}))
        AND outcome = 'succeeded'
)

-- name: attempts_by_channel
SELECT channel, outcome, error_class, sum(rolled.attempts) AS attempts
FROM {attempts:Identifier} AS rolled
WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC')
    AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({tag:String} = '' OR has(tags, {tag:String}))
GROUP BY channel, outcome, error_class

-- name: top_keys
SELECT
    key_id,
    max(rolled.key_name) AS key_name,
    any(rolled.project_id) AS project_id,
    any(rolled.account_id) AS account_id,
    sum(rolled.requests) AS requests,
    sumIf(rolled.requests, outcome != 'succeeded') AS failed,
    sum(rolled.fallbacks) AS fallbacks,
    sum(input_tokens + cached_input_tokens + cache_write_tokens + output_tokens + burned_tokens) AS tokens
FROM {usage:Identifier} AS rolled
WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC')
    AND ({project_id:String} = '' OR rolled.project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({tag:String} = '' OR has(tags, {tag:String}))
GROUP BY key_id
ORDER BY tokens DESC, key_id
LIMIT {limit:UInt32}

-- name: spend_by_key
SELECT key_id, currency, sum(spent.spent_nano) AS spent_nano
FROM {spend:Identifier} AS spent
WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC')
    AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({tag:String} = '' OR has(tags, {tag:String}))
    AND type IN ('Captured', 'Expired') AND key_id IN {key_ids:Array(String)}
GROUP BY key_id, currency
ORDER BY key_id, currency

-- name: spend_by_model
SELECT requested_model AS model, upstream_model, currency, spent.bucket AS wallet, sum(spent.charges) AS charges, sum(spent.spent_nano) AS spent_nano
FROM {spend:Identifier} AS spent
WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC')
    AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({tag:String} = '' OR has(tags, {tag:String}))
    AND type IN ('Captured', 'Expired')
GROUP BY model, upstream_model, currency, wallet
ORDER BY currency, spent_nano DESC, model, upstream_model, wallet
LIMIT {limit:UInt32}
