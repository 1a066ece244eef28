-- What one batch adds to each rollup, from its rows of the raw table. The texts are those of the minute; the hour's are the
-- same with `_hour` for `_minute` and `toStartOfHour` for `toStartOfMinute` (rollups.py). `batch` 0 are rows of before there
-- were batch numbers. The instants only bound the scan.

-- name: usage
-- `burned_requests` failed, or were not charged, and used tokens all the same.
INSERT INTO usage_minute
(
    at, account_id, project_id, key_id, environment, tags, requested_model, channel, route_type, brand, upstream_model, bucket,
    currency, outcome, stream, key_name, requests, attempts, fallbacks, input_tokens, cached_input_tokens, cache_write_tokens,
    output_tokens, reasoning_tokens, burned_tokens, cost_nano, burned_requests, latency_ms_sum, latency_hist, ttft_hist, batch
)
SELECT
    toStartOfMinute(r.occurred_at) AS minute,
    r.account_id,
    r.project_id,
    r.key_id,
    r.environment,
    arraySort(arrayMap((name, value) -> concat(name, '=', value), mapKeys(r.tags), mapValues(r.tags))) AS pairs,
    r.requested_model,
    r.channel,
    r.route_type,
    r.brand,
    r.upstream_model,
    r.bucket,
    r.currency,
    r.outcome,
    r.stream,
    max(r.key_name),
    count(),
    sum(r.attempts),
    sum(r.fallbacks),
    sumIf(r.input_tokens, r.charged_attempt IS NOT NULL),
    sumIf(r.cached_input_tokens, r.charged_attempt IS NOT NULL),
    sumIf(r.cache_write_tokens, r.charged_attempt IS NOT NULL),
    sumIf(r.output_tokens, r.charged_attempt IS NOT NULL),
    sumIf(r.reasoning_tokens, r.charged_attempt IS NOT NULL),
    sum(r.burned_tokens),
    sum(ifNull(r.cost_nano, 0)),
    countIf(
        (r.outcome = 'failed' AND r.input_tokens + r.cached_input_tokens + r.cache_write_tokens + r.output_tokens + r.burned_tokens > 0)
        OR (r.charged_attempt IS NULL AND r.burned_tokens > 0)
    ),
    sum(toUInt64(round(r.latency_ms))),
    sumMap(map(toInt16(round(log(greatest(r.latency_ms, 0.01)) / log(1.05))), toUInt64(1))),
    sumMap(if(r.ttft_ms IS NULL, map(), map(toInt16(round(log(greatest(assumeNotNull(r.ttft_ms), 0.01)) / log(1.05))), toUInt64(1)))),
    {batch:UInt64}
FROM completions AS r
WHERE r.batch = {batch:UInt64}
    AND r.occurred_at BETWEEN fromUnixTimestamp64Micro({first_us:Int64}, 'UTC') AND fromUnixTimestamp64Micro({last_us:Int64}, 'UTC')
GROUP BY minute, r.account_id, r.project_id, r.key_id, r.environment, pairs, r.requested_model, r.channel, r.route_type, r.brand,
    r.upstream_model, r.bucket, r.currency, r.outcome, r.stream

-- name: attempts
INSERT INTO attempts_minute
(
    at, account_id, project_id, key_id, tags, requested_model, channel, route_type, brand, upstream_model, outcome, error_class,
    operator_cost_currency, attempts, failed, tokens, burned_tokens, operator_cost_nano, latency_hist, ttft_hist, batch
)
SELECT
    toStartOfMinute(r.occurred_at) AS minute,
    r.account_id,
    r.project_id,
    r.key_id,
    arraySort(arrayMap((name, value) -> concat(name, '=', value), mapKeys(r.tags), mapValues(r.tags))) AS pairs,
    r.requested_model,
    r.channel,
    r.route_type,
    r.brand,
    r.upstream_model,
    r.outcome,
    r.error_class,
    r.operator_cost_currency,
    count(),
    countIf(r.outcome = 'failed'),
    sum(r.input_tokens + r.cached_input_tokens + r.cache_write_tokens + r.output_tokens),
    sumIf(r.input_tokens + r.cached_input_tokens + r.cache_write_tokens + r.output_tokens, r.outcome = 'failed'),
    sum(ifNull(r.operator_cost_nano, 0)),
    sumMap(if(r.latency_ms IS NULL, map(), map(toInt16(round(log(greatest(assumeNotNull(r.latency_ms), 0.01)) / log(1.05))), toUInt64(1)))),
    sumMap(if(r.ttft_ms IS NULL, map(), map(toInt16(round(log(greatest(assumeNotNull(r.ttft_ms), 0.01)) / log(1.05))), toUInt64(1)))),
    {batch:UInt64}
FROM attempts AS r
WHERE r.type = 'AttemptFinished' AND r.batch = {batch:UInt64}
    AND r.occurred_at BETWEEN fromUnixTimestamp64Micro({first_us:Int64}, 'UTC') AND fromUnixTimestamp64Micro({last_us:Int64}, 'UTC')
GROUP BY minute, r.account_id, r.project_id, r.key_id, pairs, r.requested_model, r.channel, r.route_type, r.brand, r.upstream_model,
    r.outcome, r.error_class, r.operator_cost_currency

-- name: fallbacks
INSERT INTO fallbacks_minute
(at, account_id, project_id, key_id, tags, requested_model, from_channel, to_channel, reason, crossed_bucket, fallbacks, batch)
SELECT
    toStartOfMinute(r.occurred_at) AS minute,
    r.account_id,
    r.project_id,
    r.key_id,
    arraySort(arrayMap((name, value) -> concat(name, '=', value), mapKeys(r.tags), mapValues(r.tags))) AS pairs,
    r.requested_model,
    r.channel,
    r.to_channel,
    r.fallback_reason,
    r.crossed_bucket,
    count(),
    {batch:UInt64}
FROM attempts AS r
WHERE r.type = 'FallbackTaken' AND r.batch = {batch:UInt64}
    AND r.occurred_at BETWEEN fromUnixTimestamp64Micro({first_us:Int64}, 'UTC') AND fromUnixTimestamp64Micro({last_us:Int64}, 'UTC')
GROUP BY minute, r.account_id, r.project_id, r.key_id, pairs, r.requested_model, r.channel, r.to_channel, r.fallback_reason,
    r.crossed_bucket

-- name: rejections
INSERT INTO rejections_minute (at, account_id, project_id, key_id, tags, code, http_status, requests, batch)
SELECT
    toStartOfMinute(r.occurred_at) AS minute,
    r.account_id,
    r.project_id,
    r.key_id,
    arraySort(arrayMap((name, value) -> concat(name, '=', value), mapKeys(r.tags), mapValues(r.tags))) AS pairs,
    r.code,
    r.http_status,
    count(),
    {batch:UInt64}
FROM requests AS r
WHERE r.type = 'RequestRejected' AND r.batch = {batch:UInt64}
    AND r.occurred_at BETWEEN fromUnixTimestamp64Micro({first_us:Int64}, 'UTC') AND fromUnixTimestamp64Micro({last_us:Int64}, 'UTC')
GROUP BY minute, r.account_id, r.project_id, r.key_id, pairs, r.code, r.http_status

-- name: spend
-- LateUsage is written off: it is nobody's charge.
INSERT INTO spend_minute
(
    at, account_id, project_id, key_id, tags, type, bucket, currency, route_type, channel, requested_model, upstream_model,
    price_version, planned_route_type, planned_model, charges, spent_nano, written_off_nano, exposure_nano, input_tokens,
    cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, beside_nano, batch
)
SELECT
    toStartOfMinute(r.occurred_at) AS minute,
    r.account_id,
    r.project_id,
    r.key_id,
    arraySort(arrayMap((name, value) -> concat(name, '=', value), mapKeys(r.tags), mapValues(r.tags))) AS pairs,
    r.type,
    r.bucket,
    r.currency,
    r.route_type,
    r.channel,
    r.requested_model,
    r.upstream_model,
    r.price_version,
    r.planned_route_type,
    r.planned_model,
    countIf(r.type != 'LateUsage'),
    sumIf(ifNull(r.amount_nano, 0) + ifNull(r.overrun_nano, 0), r.type != 'LateUsage'),
    sumIf(ifNull(r.amount_nano, 0), r.type = 'LateUsage'),
    sum(ifNull(r.exposure_nano, 0)),
    sum(r.input_tokens),
    sum(r.cached_input_tokens),
    sum(r.cache_write_tokens),
    sum(r.output_tokens),
    sum(r.reasoning_tokens),
    sum(r.beside_nano),
    {batch:UInt64}
FROM ledger AS r
WHERE r.type IN ('Captured', 'Expired', 'LateUsage') AND r.batch = {batch:UInt64}
    AND r.occurred_at BETWEEN fromUnixTimestamp64Micro({first_us:Int64}, 'UTC') AND fromUnixTimestamp64Micro({last_us:Int64}, 'UTC')
GROUP BY minute, r.account_id, r.project_id, r.key_id, pairs, r.type, r.bucket, r.currency, r.route_type, r.channel,
    r.requested_model, r.upstream_model, r.price_version, r.planned_route_type, r.planned_model
