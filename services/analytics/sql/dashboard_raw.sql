-- What the dashboard asks of the raw rows, for steps that are no whole minutes: a short range. The same queries as those of
-- dashboard.sql, with the same parameters. All read FINAL: an event that was inserted twice counts once.

-- name: requests_over_time
SELECT bucket, outcome, count() AS requests
FROM
(
    SELECT intDiv(toUnixTimestamp64Micro(occurred_at), {step_s:Int64} * 1000000) * {step_s:Int64} AS bucket, outcome
    FROM completions FINAL
    WHERE occurred_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
    AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({tag:String} = '' OR arrayExists((name, value) -> concat(name, '=', value) = {tag:String}, mapKeys(tags), mapValues(tags)))
    UNION ALL
    SELECT intDiv(toUnixTimestamp64Micro(occurred_at), {step_s:Int64} * 1000000) * {step_s:Int64} AS bucket, 'rejected' AS outcome
    FROM requests FINAL
    WHERE type = 'RequestRejected'
        AND occurred_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
    AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({tag:String} = '' OR arrayExists((name, value) -> concat(name, '=', value) = {tag:String}, mapKeys(tags), mapValues(tags)))
)
GROUP BY bucket, outcome

-- name: tokens_over_time
-- Classes that do not overlap: `burned` are tokens of attempts that nobody is charged for.
SELECT
    intDiv(toUnixTimestamp64Micro(occurred_at), {step_s:Int64} * 1000000) * {step_s:Int64} AS bucket,
    sumIf(input_tokens, charged_attempt IS NOT NULL) AS input,
    sumIf(cached_input_tokens, charged_attempt IS NOT NULL) AS cached_input,
    sumIf(cache_write_tokens, charged_attempt IS NOT NULL) AS cache_write,
    sumIf(output_tokens, charged_attempt IS NOT NULL) AS output,
    sum(burned_tokens) AS burned
FROM completions FINAL
WHERE occurred_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
    AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({tag:String} = '' OR arrayExists((name, value) -> concat(name, '=', value) = {tag:String}, mapKeys(tags), mapValues(tags)))
GROUP BY bucket

-- name: spend_over_time
-- What customers were charged: captures with their overrun, and the recorded progress of expired holds.
SELECT
    intDiv(toUnixTimestamp64Micro(occurred_at), {step_s:Int64} * 1000000) * {step_s:Int64} AS bucket,
    currency,
    ledger.bucket AS wallet,
    if(type = 'Expired', 'expired', route_type) AS route,
    sum(amount_nano + ifNull(overrun_nano, 0)) AS spent_nano,
    count() AS charges
FROM ledger FINAL
WHERE type IN ('Captured', 'Expired')
    AND occurred_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
    AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({tag:String} = '' OR arrayExists((name, value) -> concat(name, '=', value) = {tag:String}, mapKeys(tags), mapValues(tags)))
GROUP BY bucket, currency, wallet, route

-- name: fallbacks_over_time
SELECT
    intDiv(toUnixTimestamp64Micro(occurred_at), {step_s:Int64} * 1000000) * {step_s:Int64} AS bucket,
    channel AS from_channel,
    to_channel,
    count() AS fallbacks
FROM attempts FINAL
WHERE type = 'FallbackTaken'
    AND occurred_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
    AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({tag:String} = '' OR arrayExists((name, value) -> concat(name, '=', value) = {tag:String}, mapKeys(tags), mapValues(tags)))
GROUP BY bucket, from_channel, to_channel

-- name: latency_over_time
SELECT
    intDiv(toUnixTimestamp64Micro(occurred_at), {step_s:Int64} * 1000000) * {step_s:Int64} AS bucket,
    quantileExact(0.5)(latency_ms) AS latency_p50,
    quantileExact(0.99)(latency_ms) AS latency_p99,
    quantileExactOrNull(0.5)(ttft_ms) AS ttft_p50,
    quantileExactOrNull(0.99)(ttft_ms) AS ttft_p99
FROM completions FINAL
WHERE outcome = 'succeeded'
    AND occurred_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
    AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({tag:String} = '' OR arrayExists((name, value) -> concat(name, '=', value) = {tag:String}, mapKeys(tags), mapValues(tags)))
GROUP BY bucket

-- name: latency
SELECT
    quantileExactOrNull(0.5)(latency_ms) AS latency_p50,
    quantileExactOrNull(0.99)(latency_ms) AS latency_p99,
    quantileExactOrNull(0.5)(ttft_ms) AS ttft_p50,
    quantileExactOrNull(0.99)(ttft_ms) AS ttft_p99
FROM completions FINAL
WHERE outcome = 'succeeded'
    AND occurred_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
    AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({tag:String} = '' OR arrayExists((name, value) -> concat(name, '=', value) = {tag:String}, mapKeys(tags), mapValues(tags)))

-- name: attempts_by_channel
SELECT channel, outcome, error_class, count() AS attempts
FROM attempts FINAL
WHERE type = 'AttemptFinished'
    AND occurred_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
    AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({tag:String} = '' OR arrayExists((name, value) -> concat(name, '=', value) = {tag:String}, mapKeys(tags), mapValues(tags)))
GROUP BY channel, outcome, error_class

-- name: top_keys
SELECT
    key_id,
    any(completions.key_name) AS key_name,
    any(completions.project_id) AS project_id,
    any(completions.account_id) AS account_id,
    count() AS requests,
    countIf(outcome != 'succeeded') AS failed,
    sum(fallbacks) AS fallbacks,
    sum(if(charged_attempt IS NULL, 0, input_tokens + cached_input_tokens + cache_write_tokens + output_tokens) + burned_tokens) AS tokens
FROM completions FINAL
WHERE occurred_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
    AND ({project_id:String} = '' OR completions.project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({tag:String} = '' OR arrayExists((name, value) -> concat(name, '=', value) = {tag:String}, mapKeys(tags), mapValues(tags)))
GROUP BY key_id
ORDER BY tokens DESC, key_id
LIMIT {limit:UInt32}

-- name: spend_by_key
SELECT key_id, currency, sum(amount_nano + ifNull(overrun_nano, 0)) AS spent_nano
FROM ledger FINAL
WHERE type IN ('Captured', 'Expired')
    AND occurred_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
    AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({tag:String} = '' OR arrayExists((name, value) -> concat(name, '=', value) = {tag:String}, mapKeys(tags), mapValues(tags)))
    AND key_id IN {key_ids:Array(String)}
GROUP BY key_id, currency
ORDER BY key_id, currency

-- name: spend_by_model
SELECT requested_model AS model, upstream_model, currency, ledger.bucket AS wallet, count() AS charges,
    sum(amount_nano + ifNull(overrun_nano, 0)) AS spent_nano
FROM ledger FINAL
WHERE type IN ('Captured', 'Expired')
    AND occurred_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
    AND ({project_id:String} = '' OR project_id = {project_id:String}) AND ({key_id:String} = '' OR key_id = {key_id:String})
    AND ({tag:String} = '' OR arrayExists((name, value) -> concat(name, '=', value) = {tag:String}, mapKeys(tags), mapValues(tags)))
GROUP BY model, upstream_model, currency, wallet
ORDER BY currency, spent_nano DESC, model, upstream_model, wallet
LIMIT {limit:UInt32}
