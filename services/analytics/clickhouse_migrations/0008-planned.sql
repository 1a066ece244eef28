-- By what a charge is explained: the prices that it was made by, what its plan would have had answer, what came beside it.
-- A column joins the sorting key in the statement that adds it. Rows of before have version 0: those are explained from `ledger`.
ALTER TABLE ledger ADD COLUMN IF NOT EXISTS planned_route_type LowCardinality(String) AFTER details;
ALTER TABLE ledger ADD COLUMN IF NOT EXISTS planned_model LowCardinality(String) AFTER planned_route_type;
ALTER TABLE ledger ADD COLUMN IF NOT EXISTS beside_nano Int64 CODEC(ZSTD(1)) AFTER planned_model;
ALTER TABLE spend_minute
    ADD COLUMN IF NOT EXISTS price_version UInt32 CODEC(ZSTD(1)) AFTER upstream_model,
    ADD COLUMN IF NOT EXISTS planned_route_type LowCardinality(String) AFTER price_version,
    ADD COLUMN IF NOT EXISTS planned_model LowCardinality(String) AFTER planned_route_type,
    ADD COLUMN IF NOT EXISTS beside_nano SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)) AFTER reasoning_tokens,
    MODIFY ORDER BY (at, account_id, project_id, key_id, tags, type, bucket, currency, route_type, channel, requested_model, upstream_model, price_version, planned_route_type, planned_model);
ALTER TABLE spend_hour
    ADD COLUMN IF NOT EXISTS price_version UInt32 CODEC(ZSTD(1)) AFTER upstream_model,
    ADD COLUMN IF NOT EXISTS planned_route_type LowCardinality(String) AFTER price_version,
    ADD COLUMN IF NOT EXISTS planned_model LowCardinality(String) AFTER planned_route_type,
    ADD COLUMN IF NOT EXISTS beside_nano SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)) AFTER reasoning_tokens,
    MODIFY ORDER BY (at, account_id, project_id, key_id, tags, type, bucket, currency, route_type, channel, requested_model, upstream_model, price_version, planned_route_type, planned_model);
