-- Why a cost changed: the charges of one span, in groups that have all of it in common that a price depends on. `$table` is one of
-- the two sources below, `$who` what the groups are also parted by ('' for nothing). A filter that is empty lets everything pass.

-- name: charges
SELECT
    toString($who) AS who,
    toString(u.currency) AS currency,
    u.type = 'Expired' AS lost,
    toString(u.requested_model) AS requested_model,
    toString(u.route_type) AS route_type,
    toString(u.upstream_model) AS upstream_model,
    u.price_version AS price_version,
    toString(u.planned_route_type) AS planned_route_type,
    toString(u.planned_model) AS planned_model,
    sum(toUInt64(u.charges)) AS requests,
    sum(toUInt64(u.input_tokens)) AS input_tokens,
    sum(toUInt64(u.cached_input_tokens)) AS cached_input_tokens,
    sum(toUInt64(u.cache_write_tokens)) AS cache_write_tokens,
    sum(toUInt64(u.output_tokens)) AS output_tokens,
    sum(toInt128(u.spent_nano)) AS spent_nano,
    sum(toInt128(u.beside_nano)) AS beside_nano
FROM $table AS u
WHERE $filters
    AND ({anyone:UInt8} = 1 OR toString($who) IN {whose:Array(String)})
GROUP BY who, currency, lost, requested_model, route_type, upstream_model, price_version, planned_route_type, planned_model
LIMIT {limit:UInt32}

-- name: spent_by
SELECT toString($who) AS who, toString(u.currency) AS currency, sum(toInt128(u.spent_nano)) AS spent_nano
FROM $table AS u
WHERE $filters
GROUP BY who, currency

-- name: movers
-- Whose cost changed the most, per currency.
SELECT s.who AS who, s.currency AS currency, sum(s.later - s.earlier) AS change_nano
FROM
(
    SELECT b.who AS who, b.currency AS currency, b.spent_nano AS earlier, toInt128(0) AS later FROM ($before) AS b
    UNION ALL
    SELECT a.who AS who, a.currency AS currency, toInt128(0) AS earlier, a.spent_nano AS later FROM ($after) AS a
) AS s
GROUP BY who, currency
ORDER BY currency, abs(change_nano) DESC, who
LIMIT {movers:UInt32} BY currency

-- name: filters
u.type IN ('Captured', 'Expired')
    AND ({everyone:UInt8} = 1 OR u.account_id IN {accounts:Array(String)})
    AND ({project_id:String} = '' OR u.project_id = {project_id:String})
    AND ({key_id:String} = '' OR u.key_id = {key_id:String})
    AND ({model:String} = '' OR u.requested_model = {model:String})
    AND ({upstream_model:String} = '' OR u.upstream_model = {upstream_model:String})
    AND ({route_type:String} = '' OR u.route_type = {route_type:String})
    AND ({channel:String} = '' OR u.channel = {channel:String})
    AND ({bucket:String} = '' OR u.bucket = {bucket:String})

-- name: tag_filters
-- Only where tags are asked for: they are the widest column.
    AND hasAll(u.tags, {tags:Array(String)})
    AND arrayAll(name -> arrayExists(pair -> startsWith(pair, concat(name, '=')), u.tags), {tag_names:Array(String)})

-- name: rolled
-- Whole hours from the hours, what is left at both ends from the minutes. `$n` is the span.
(
    SELECT $columns FROM spend_hour
    WHERE at >= toDateTime({whole_from_s$n:Int64}, 'UTC') AND at < toDateTime({whole_to_s$n:Int64}, 'UTC')
    UNION ALL
    SELECT $columns FROM spend_minute
    WHERE at >= toDateTime({from_s$n:Int64}, 'UTC') AND at < toDateTime({to_s$n:Int64}, 'UTC')
        AND NOT (at >= toDateTime({whole_from_s$n:Int64}, 'UTC') AND at < toDateTime({whole_to_s$n:Int64}, 'UTC'))
)

-- name: columns
account_id, project_id, key_id, tags, type, bucket, currency, route_type, channel, requested_model, upstream_model, price_version,
planned_route_type, planned_model, charges, spent_nano, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens,
beside_nano

-- name: raw
-- For runs, which no rollup has, and for charges of before the rollups kept prices.
(
    SELECT
        l.account_id AS account_id,
        l.project_id AS project_id,
        l.key_id AS key_id,
        arraySort(arrayMap((name, value) -> concat(name, '=', value), mapKeys(l.tags), mapValues(l.tags))) AS tags,
        l.type AS type,
        l.bucket AS bucket,
        l.currency AS currency,
        l.route_type AS route_type,
        l.channel AS channel,
        l.requested_model AS requested_model,
        l.upstream_model AS upstream_model,
        l.price_version AS price_version,
        l.planned_route_type AS planned_route_type,
        l.planned_model AS planned_model,
        1 AS charges,
        ifNull(l.amount_nano, 0) + ifNull(l.overrun_nano, 0) AS spent_nano,
        l.input_tokens AS input_tokens,
        l.cached_input_tokens AS cached_input_tokens,
        l.cache_write_tokens AS cache_write_tokens,
        l.output_tokens AS output_tokens,
        l.beside_nano AS beside_nano
    FROM ledger AS l FINAL
    WHERE l.type IN ('Captured', 'Expired')
        AND l.occurred_at >= toDateTime64({from_s$n:Int64}, 6, 'UTC') AND l.occurred_at < toDateTime64({to_s$n:Int64}, 6, 'UTC')
        AND ({run_id:String} = '' OR l.run_id = {run_id:String})
)

-- name: old_rows
-- Whether a span has charges in the rollups that know no price version, of what is asked about: nobody else's make it slower.
SELECT count() > 0 AS found FROM $table AS u
WHERE $filters
    AND u.type = 'Captured' AND u.price_version = 0

-- name: books
-- A version never changes. Every price book that was ever published is in the ledger's topic.
SELECT price_version, details FROM ledger FINAL
WHERE type = 'PriceBookPublished' AND price_version IN {versions:Array(UInt32)}

-- name: key_names
SELECT toString(u.key_id) AS key_id, max(toString(u.key_name)) AS key_name FROM usage_hour AS u
WHERE u.at >= toDateTime({from_s:Int64}, 'UTC') AND u.at < toDateTime({to_s:Int64}, 'UTC') AND u.key_id IN {keys:Array(String)}
GROUP BY key_id
