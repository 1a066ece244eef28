-- Hours count from 1970. Windows and history come from rollups alone: sums over whatever rows there are.

-- name: key_hours
-- The busiest minute of each hour.
SELECT key_id AS subject, groupArray((hour, busiest)) AS hours
FROM (
    SELECT key_id, intDiv(toUnixTimestamp(minute), 3600) AS hour, max(tokens) AS busiest
    FROM (
        SELECT
            key_id,
            at AS minute,
            sum(input_tokens + cached_input_tokens + cache_write_tokens + output_tokens + burned_tokens) AS tokens
        FROM usage_minute
        WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC')
        GROUP BY key_id, minute
    )
    GROUP BY key_id, hour
)
GROUP BY subject

-- name: channel_hours
SELECT channel AS subject, groupArray((hour, attempts, failed, tokens, burned_tokens)) AS hours
FROM (
    SELECT
        channel,
        intDiv(toUnixTimestamp(at), 3600) AS hour,
        sum(a.attempts) AS attempts,
        sumIf(a.failed, a.error_class NOT IN {excused:Array(String)}) AS failed,
        sum(a.tokens) AS tokens,
        sum(a.burned_tokens) AS burned_tokens
    FROM attempts_hour AS a
    WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC')
    GROUP BY channel, hour
)
GROUP BY subject

-- name: model_hours
SELECT requested_model AS subject, groupArray((hour, requests, fallbacks)) AS hours
FROM (
    SELECT
        requested_model,
        intDiv(toUnixTimestamp(at), 3600) AS hour,
        sum(u.requests) AS requests,
        sum(u.fallbacks) AS fallbacks
    FROM usage_hour AS u
    WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC')
    GROUP BY requested_model, hour
)
GROUP BY subject

-- name: spend_hours
SELECT account_id, requested_model, route_type, currency, groupArray((hour, spent)) AS hours
FROM (
    SELECT account_id, requested_model, route_type, currency, intDiv(toUnixTimestamp(at), 3600) AS hour, sum(cost_nano) AS spent
    FROM usage_hour
    WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC') AND currency != ''
    GROUP BY account_id, requested_model, route_type, currency, hour
)
GROUP BY account_id, requested_model, route_type, currency

-- name: mix_hours
SELECT account_id, groupArray((hour, place, requests)) AS hours
FROM (
    SELECT
        account_id,
        intDiv(toUnixTimestamp(at), 3600) AS hour,
        concat(upstream_model, ' on ', channel) AS place,
        sum(u.requests) AS requests
    FROM usage_hour AS u
    WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC') AND outcome = 'succeeded'
    GROUP BY account_id, hour, place
)
GROUP BY account_id

-- name: model_window
SELECT requested_model AS subject, sum(u.requests) AS requests, sum(u.fallbacks) AS fallbacks,
    topK(3)(channel) AS channels
FROM usage_minute AS u
WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC')
GROUP BY subject

-- name: spend_window
SELECT account_id, requested_model, route_type, currency, sum(cost_nano) AS spent, sum(u.requests) AS requests,
    topK(1)(project_id)[1] AS project_id, topK(3)(key_id) AS top_keys
FROM usage_minute AS u
WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC') AND currency != ''
GROUP BY account_id, requested_model, route_type, currency

-- name: mix_window
SELECT account_id, groupArray((place, requests)) AS places
FROM (
    SELECT account_id, concat(upstream_model, ' on ', channel) AS place, sum(u.requests) AS requests
    FROM usage_minute AS u
    WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC') AND outcome = 'succeeded'
    GROUP BY account_id, place
)
GROUP BY account_id

-- name: key_minutes
SELECT key_id AS subject, any(account_id) AS account_id, any(project_id) AS project_id,
    groupUniqArrayArray(32)(tags) AS tags, groupArray((minute, tokens)) AS minutes
FROM (
    SELECT
        key_id,
        any(u.account_id) AS account_id,
        any(u.project_id) AS project_id,
        groupUniqArrayArray(32)(u.tags) AS tags,
        intDiv(toUnixTimestamp(at), 60) AS minute,
        sum(input_tokens + cached_input_tokens + cache_write_tokens + output_tokens + burned_tokens) AS tokens
    FROM usage_minute AS u
    WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC')
    GROUP BY key_id, minute
)
GROUP BY subject

-- name: channel_minutes
-- How many attempts lost tokens is known to the kind of failure: those of a kind that lost some.
SELECT channel AS subject, groupArray((minute, attempts, failed, tokens, burned_attempts, burned_tokens)) AS minutes
FROM (
    SELECT
        channel,
        intDiv(toUnixTimestamp(at), 60) AS minute,
        sum(a.attempts) AS attempts,
        sumIf(a.failed, a.error_class NOT IN {excused:Array(String)}) AS failed,
        sum(a.tokens) AS tokens,
        sumIf(a.failed, a.burned_tokens > 0) AS burned_attempts,
        sum(a.burned_tokens) AS burned_tokens
    FROM attempts_minute AS a
    WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC')
    GROUP BY channel, minute
)
GROUP BY subject

-- name: model_minutes
SELECT requested_model AS subject, groupArray((minute, requests, fallbacks)) AS minutes
FROM (
    SELECT requested_model, intDiv(toUnixTimestamp(at), 60) AS minute, sum(u.requests) AS requests, sum(u.fallbacks) AS fallbacks
    FROM usage_minute AS u
    WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC')
    GROUP BY requested_model, minute
)
GROUP BY subject

-- name: spend_minutes
SELECT account_id, requested_model, route_type, currency, groupArray((minute, spent)) AS minutes
FROM (
    SELECT account_id, requested_model, route_type, currency, intDiv(toUnixTimestamp(at), 60) AS minute, sum(cost_nano) AS spent
    FROM usage_minute
    WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC') AND currency != ''
    GROUP BY account_id, requested_model, route_type, currency, minute
)
GROUP BY account_id, requested_model, route_type, currency

-- name: mix_minutes
SELECT account_id, groupArray((minute, place, requests)) AS minutes
FROM (
    SELECT account_id, intDiv(toUnixTimestamp(at), 60) AS minute, concat(upstream_model, ' on ', channel) AS place,
        sum(u.requests) AS requests
    FROM usage_minute AS u
    WHERE at >= toDateTime({from_s:Int64}, 'UTC') AND at < toDateTime({to_s:Int64}, 'UTC') AND outcome = 'succeeded'
    GROUP BY account_id, minute, place
)
GROUP BY account_id
