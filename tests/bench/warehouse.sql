-- Made-up traffic of one day for ClickHouse: the columns that the loader fills, with dimensions as uneven as real ones.
-- Everything follows from the request's number, so the same arguments always give the same rows.

-- name: traffic
-- One row per request: `$first` is the day's first number, `$count` how many there are, `$day_s` its beginning; when it is asked
-- (`$second` of the day), how long it is and how long it takes are made up or the trace's. `v7` begins the ids of its time.
CREATE OR REPLACE VIEW bench_traffic AS
WITH
    number + $first AS n,
    cityHash64(n, 1) AS h1,
    cityHash64(n, 2) AS h2,
    cityHash64(n, 3) AS h3,
    number / $count AS u,
    toUInt32(floor(pow((h1 % 1000000) / 1000000, 3) * 1000)) AS k,
    toUInt8(floor(pow((h2 % 10000) / 10000, 2) * 12)) AS m
SELECT
    n,
    h1,
    h2,
    h3,
    fromUnixTimestamp64Micro(toInt64(($day_s + $second) * 1000000) + toInt64(h3 % 100000), 'UTC') AS begun,
    toUInt64(toUnixTimestamp64Milli(begun)) * 65536 + 28672 AS v7,
    concat('acc_', toString(k % 200)) AS account,
    concat('prj_', toString(k % 400)) AS project,
    concat('key_', leftPad(toString(k), 12, '0')) AS key,
    concat('team ', toString(k)) AS key_label,
    if(h3 % 10 < 8, 'production', 'staging') AS env,
    if(h3 % 3 = 0, map(), map('feature', ['chat', 'search', 'agent', 'summary'][1 + k % 4], 'team', concat('t', toString(k % 20)))) AS labels,
    concat('model-', toString(m)) AS model,
    h2 % 2 = 0 AS streams,
    h3 % 1000 < 30 AS refused,
    multiIf(h2 % 1000 < 20, 3, h2 % 1000 < 150, 2, 1) AS tries,
    multiIf(h1 % 1000 < 8, 'cancelled', h1 % 1000 < 30, 'failed', 'succeeded') AS ended,
    toUInt64($prompt) AS tokens_in,
    toUInt64(if(h1 % 4 = 0, 512, 0)) AS tokens_cached,
    toUInt64($answer) AS tokens_out,
    $took AS took_ms,
    if(m % 3 = 0, 'CNY', 'USD') AS money,
    if(m % 3 = 0, 'pooled', 'direct') AS route,
    if(m % 3 = 0, 'wallet', 'credit') AS purse
FROM numbers($count)

-- name: requests
INSERT INTO requests
(event_id, type, occurred_at, account_id, request_id, environment, tags, kafka_partition, kafka_offset, project_id, key_id, key_name,
    client_api, requested_model, stream, body_bytes, http_status, code, batch)
SELECT reinterpretAsUUID(concat(reinterpretAsFixedString(v7 + h3 % 4096), reinterpretAsFixedString(h2))),
    if(refused, 'RequestRejected', 'RequestAccepted'), begun, account, reinterpretAsUUID(concat(reinterpretAsFixedString(v7 + h1 % 4096), reinterpretAsFixedString(cityHash64(n)))),
    env, labels, n % 12, n, project, key, key_label, 'chat.completions', model, streams, tokens_in * 4, if(refused, 429, 0),
    if(refused, ['rate_limited', 'budget_exhausted', 'model_not_found'][1 + h2 % 3], ''), {batch:UInt64}
FROM bench_traffic

-- name: attempts
INSERT INTO attempts
(event_id, type, occurred_at, account_id, request_id, environment, tags, kafka_partition, kafka_offset, project_id, key_id, key_name,
    requested_model, attempt, channel, route_type, brand, upstream_model, hold_id, started_at, outcome, error_class, http_status,
    latency_ms, ttft_ms, input_tokens, cached_input_tokens, output_tokens, usage_source, operator_cost_nano, operator_cost_currency,
    to_channel, to_attempt, fallback_reason, crossed_bucket, batch)
SELECT
    reinterpretAsUUID(concat(reinterpretAsFixedString(v7 + toUInt64(took_ms * try) * 65536), reinterpretAsFixedString(cityHash64(h1, try, what)))), what,
    begun + toIntervalMicrosecond(toUInt64(took_ms * 1000 * try)), account, reinterpretAsUUID(concat(reinterpretAsFixedString(v7 + h1 % 4096), reinterpretAsFixedString(cityHash64(n)))),
    env, labels, n % 12, n, project, key, key_label, model, try,
    concat('channel-', toString((cityHash64(model) + try) % 20)), if(what = 'FallbackTaken', '', route),
    if(what = 'FallbackTaken', '', concat('brand-', toString(cityHash64(model) % 5))), if(what = 'FallbackTaken', '', concat(model, '-0613')),
    reinterpretAsUUID(concat(reinterpretAsFixedString(v7 + h2 % 4096), reinterpretAsFixedString(h1))), begun,
    multiIf(what = 'FallbackTaken', '', try < tries, 'failed', ended) AS how,
    if(how = 'failed', ['rate_limited', 'timeout', 'upstream_error', 'overloaded'][1 + h3 % 4], ''), if(how = 'failed', 502, 200),
    took_ms, if(how = 'failed', NULL, took_ms / 4), if(how = 'failed' AND h3 % 2 = 0, 0, tokens_in), tokens_cached,
    if(how = 'failed', 0, tokens_out), 'reported', toInt64(tokens_in * 900 + tokens_out * 2800), money,
    if(what = 'FallbackTaken', concat('channel-', toString((cityHash64(model) + try + 1) % 20)), ''),
    if(what = 'FallbackTaken', toNullable(try + 1), NULL), if(what = 'FallbackTaken', ['rate_limited', 'timeout', 'upstream_error', 'overloaded'][1 + h3 % 4], ''),
    what = 'FallbackTaken' AND h3 % 50 = 0, {batch:UInt64}
FROM
(
    SELECT *, arrayJoin(arrayConcat(
        arrayMap(t -> (t, 'AttemptFinished'), range(1, tries + 1)), arrayMap(t -> (t, 'FallbackTaken'), range(1, tries)))) AS one,
        toUInt16(one.1) AS try, one.2 AS what
    FROM bench_traffic
    WHERE NOT refused
)

-- name: completions
INSERT INTO completions
(event_id, type, occurred_at, account_id, request_id, environment, tags, kafka_partition, kafka_offset, project_id, key_id, key_name,
    client_api, requested_model, stream, outcome, http_status, error_class, plan, attempts, fallbacks, charged_attempt, channel, route_type,
    brand, upstream_model, input_tokens, cached_input_tokens, output_tokens, burned_tokens, bucket, currency, cost_nano, accepted_at,
    latency_ms, ttft_ms, overhead_ms, batch)
SELECT
    reinterpretAsUUID(concat(reinterpretAsFixedString(v7 + toUInt64(took_ms * tries) * 65536 + h3 % 4096), reinterpretAsFixedString(h2))), 'RequestCompleted',
    begun + toIntervalMicrosecond(toUInt64(took_ms * 1000 * tries)), account, reinterpretAsUUID(concat(reinterpretAsFixedString(v7 + h1 % 4096), reinterpretAsFixedString(cityHash64(n)))),
    env, labels, n % 12, n, project, key, key_label, 'chat.completions', model, streams, ended, if(ended = 'succeeded', 200, 502),
    if(ended = 'failed', 'upstream_error', ''), arrayMap(t -> concat('channel-', toString((cityHash64(model) + t) % 20)), range(1, 4)), tries, tries - 1,
    if(ended = 'succeeded', toNullable(tries), NULL), concat('channel-', toString((cityHash64(model) + tries) % 20)), route,
    concat('brand-', toString(cityHash64(model) % 5)), concat(model, '-0613'), tokens_in, tokens_cached, tokens_out,
    if(ended = 'succeeded', 0, tokens_in) + (tries - 1) * if(h3 % 2 = 0, 0, tokens_in), purse, money,
    if(ended = 'succeeded', toInt64(tokens_in * 1000 + tokens_out * 3000), 0), begun, took_ms * tries, if(ended = 'failed', NULL, took_ms / 4),
    1 + (h1 % 4000) / 1000, {batch:UInt64}
FROM bench_traffic
WHERE NOT refused

-- name: ledger
INSERT INTO ledger
(event_id, type, occurred_at, account_id, request_id, environment, tags, kafka_partition, kafka_offset, project_id, key_id, key_name,
    bucket, currency, amount_nano, hold_id, txn_id, hold_nano, released_nano, overrun_nano, balance_before_nano, balance_after_nano,
    held_after_nano, price_version, requested_model, channel, route_type, upstream_model, input_tokens, cached_input_tokens, output_tokens, batch)
SELECT
    reinterpretAsUUID(concat(reinterpretAsFixedString(v7 + toUInt64(took_ms * tries) * 65536 + h1 % 4096), reinterpretAsFixedString(cityHash64(h2, 4)))), if(h2 % 500 = 0, 'Expired', 'Captured') AS what,
    begun + toIntervalMicrosecond(toUInt64(took_ms * 1000 * tries) + 30000), account, reinterpretAsUUID(concat(reinterpretAsFixedString(v7 + h1 % 4096), reinterpretAsFixedString(cityHash64(n)))),
    env, labels, n % 12, n, project, key, key_label, purse, money, toInt64(tokens_in * 1000 + tokens_out * 3000) AS cost,
    reinterpretAsUUID(concat(reinterpretAsFixedString(v7 + h2 % 4096), reinterpretAsFixedString(h1))), reinterpretAsUUID(concat(reinterpretAsFixedString(v7 + toUInt64(took_ms * tries) * 65536 + h3 % 4096), reinterpretAsFixedString(h1))),
    30000000, 30000000 - cost, if(h2 % 900 = 0, 1000, 0), 1000000000000 - n, 1000000000000 - n - cost, 0, 1, if(what = 'Expired', '', model),
    if(what = 'Expired', '', concat('channel-', toString((cityHash64(model) + tries) % 20))), if(what = 'Expired', '', route),
    if(what = 'Expired', '', concat(model, '-0613')), tokens_in, tokens_cached, tokens_out, {batch:UInt64}
FROM bench_traffic
WHERE NOT refused AND ended = 'succeeded'
