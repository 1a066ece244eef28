-- Rollups per minute and per hour. Each batch of the loader adds its rows once: `batch` is its number, 0 for rows of before
-- there were numbers, which are added when this migration is applied. A rollup's `batch` is the last that added to the row.
ALTER TABLE requests ADD COLUMN IF NOT EXISTS batch UInt64 DEFAULT 0 CODEC(ZSTD(1));
ALTER TABLE requests ADD INDEX IF NOT EXISTS batch_index batch TYPE minmax GRANULARITY 1;
ALTER TABLE attempts ADD COLUMN IF NOT EXISTS batch UInt64 DEFAULT 0 CODEC(ZSTD(1));
ALTER TABLE attempts ADD INDEX IF NOT EXISTS batch_index batch TYPE minmax GRANULARITY 1;
ALTER TABLE completions ADD COLUMN IF NOT EXISTS batch UInt64 DEFAULT 0 CODEC(ZSTD(1));
ALTER TABLE completions ADD INDEX IF NOT EXISTS batch_index batch TYPE minmax GRANULARITY 1;
ALTER TABLE ledger ADD COLUMN IF NOT EXISTS batch UInt64 DEFAULT 0 CODEC(ZSTD(1));
ALTER TABLE ledger ADD INDEX IF NOT EXISTS batch_index batch TYPE minmax GRANULARITY 1;
ALTER TABLE alerts ADD COLUMN IF NOT EXISTS batch UInt64 DEFAULT 0 CODEC(ZSTD(1));
ALTER TABLE alerts ADD INDEX IF NOT EXISTS batch_index batch TYPE minmax GRANULARITY 1;

-- Requests that ended, by whom, by what and how: RequestCompleted. Tokens and cost are those of charged requests.
CREATE TABLE IF NOT EXISTS usage_minute
(
    at DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    account_id LowCardinality(String),
    project_id LowCardinality(String),
    key_id LowCardinality(String),
    environment LowCardinality(String),
    tags Array(LowCardinality(String)) CODEC(ZSTD(1)),
    requested_model LowCardinality(String),
    channel LowCardinality(String),
    route_type LowCardinality(String),
    brand LowCardinality(String),
    upstream_model LowCardinality(String),
    bucket LowCardinality(String),
    currency LowCardinality(String),
    outcome LowCardinality(String),
    stream Bool,
    key_name SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    requests SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    attempts SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    fallbacks SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    input_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    cached_input_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    cache_write_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    output_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    reasoning_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    burned_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    cost_nano SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    burned_requests SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    latency_ms_sum SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    latency_hist SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1)),
    ttft_hist SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (at, account_id, project_id, key_id)
ORDER BY (at, account_id, project_id, key_id, environment, tags, requested_model, channel, route_type, brand, upstream_model, bucket, currency, outcome, stream)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS usage_hour
(
    at DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    account_id LowCardinality(String),
    project_id LowCardinality(String),
    key_id LowCardinality(String),
    environment LowCardinality(String),
    tags Array(LowCardinality(String)) CODEC(ZSTD(1)),
    requested_model LowCardinality(String),
    channel LowCardinality(String),
    route_type LowCardinality(String),
    brand LowCardinality(String),
    upstream_model LowCardinality(String),
    bucket LowCardinality(String),
    currency LowCardinality(String),
    outcome LowCardinality(String),
    stream Bool,
    key_name SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    requests SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    attempts SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    fallbacks SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    input_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    cached_input_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    cache_write_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    output_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    reasoning_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    burned_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    cost_nano SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    burned_requests SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    latency_ms_sum SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    latency_hist SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1)),
    ttft_hist SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (at, account_id, project_id, key_id)
ORDER BY (at, account_id, project_id, key_id, environment, tags, requested_model, channel, route_type, brand, upstream_model, bucket, currency, outcome, stream)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

-- Upstream calls: AttemptFinished. Operator's cost is per currency.
CREATE TABLE IF NOT EXISTS attempts_minute
(
    at DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    account_id LowCardinality(String),
    project_id LowCardinality(String),
    key_id LowCardinality(String),
    tags Array(LowCardinality(String)) CODEC(ZSTD(1)),
    requested_model LowCardinality(String),
    channel LowCardinality(String),
    route_type LowCardinality(String),
    brand LowCardinality(String),
    upstream_model LowCardinality(String),
    outcome LowCardinality(String),
    error_class LowCardinality(String),
    operator_cost_currency LowCardinality(String),
    attempts SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    failed SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    burned_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    operator_cost_nano SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    latency_hist SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1)),
    ttft_hist SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (at, account_id, project_id, key_id)
ORDER BY (at, account_id, project_id, key_id, tags, requested_model, channel, route_type, brand, upstream_model, outcome, error_class, operator_cost_currency)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS attempts_hour
(
    at DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    account_id LowCardinality(String),
    project_id LowCardinality(String),
    key_id LowCardinality(String),
    tags Array(LowCardinality(String)) CODEC(ZSTD(1)),
    requested_model LowCardinality(String),
    channel LowCardinality(String),
    route_type LowCardinality(String),
    brand LowCardinality(String),
    upstream_model LowCardinality(String),
    outcome LowCardinality(String),
    error_class LowCardinality(String),
    operator_cost_currency LowCardinality(String),
    attempts SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    failed SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    burned_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    operator_cost_nano SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    latency_hist SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1)),
    ttft_hist SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (at, account_id, project_id, key_id)
ORDER BY (at, account_id, project_id, key_id, tags, requested_model, channel, route_type, brand, upstream_model, outcome, error_class, operator_cost_currency)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

-- From which channel to which, and why: FallbackTaken.
CREATE TABLE IF NOT EXISTS fallbacks_minute
(
    at DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    account_id LowCardinality(String),
    project_id LowCardinality(String),
    key_id LowCardinality(String),
    tags Array(LowCardinality(String)) CODEC(ZSTD(1)),
    requested_model LowCardinality(String),
    from_channel LowCardinality(String),
    to_channel LowCardinality(String),
    reason LowCardinality(String),
    crossed_bucket Bool,
    fallbacks SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (at, account_id, project_id, key_id)
ORDER BY (at, account_id, project_id, key_id, tags, requested_model, from_channel, to_channel, reason, crossed_bucket)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS fallbacks_hour
(
    at DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    account_id LowCardinality(String),
    project_id LowCardinality(String),
    key_id LowCardinality(String),
    tags Array(LowCardinality(String)) CODEC(ZSTD(1)),
    requested_model LowCardinality(String),
    from_channel LowCardinality(String),
    to_channel LowCardinality(String),
    reason LowCardinality(String),
    crossed_bucket Bool,
    fallbacks SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (at, account_id, project_id, key_id)
ORDER BY (at, account_id, project_id, key_id, tags, requested_model, from_channel, to_channel, reason, crossed_bucket)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

-- Requests that were refused before anything was held: RequestRejected.
CREATE TABLE IF NOT EXISTS rejections_minute
(
    at DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    account_id LowCardinality(String),
    project_id LowCardinality(String),
    key_id LowCardinality(String),
    tags Array(LowCardinality(String)) CODEC(ZSTD(1)),
    code LowCardinality(String),
    http_status UInt16 CODEC(ZSTD(1)),
    requests SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (at, account_id, project_id, key_id)
ORDER BY (at, account_id, project_id, key_id, tags, code, http_status)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS rejections_hour
(
    at DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    account_id LowCardinality(String),
    project_id LowCardinality(String),
    key_id LowCardinality(String),
    tags Array(LowCardinality(String)) CODEC(ZSTD(1)),
    code LowCardinality(String),
    http_status UInt16 CODEC(ZSTD(1)),
    requests SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (at, account_id, project_id, key_id)
ORDER BY (at, account_id, project_id, key_id, tags, code, http_status)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

-- What customers were charged: Captured with its overrun, Expired; LateUsage is written off and charged to nobody.
CREATE TABLE IF NOT EXISTS spend_minute
(
    at DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    account_id LowCardinality(String),
    project_id LowCardinality(String),
    key_id LowCardinality(String),
    tags Array(LowCardinality(String)) CODEC(ZSTD(1)),
    type LowCardinality(String),
    bucket LowCardinality(String),
    currency LowCardinality(String),
    route_type LowCardinality(String),
    channel LowCardinality(String),
    requested_model LowCardinality(String),
    upstream_model LowCardinality(String),
    charges SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    spent_nano SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    written_off_nano SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    exposure_nano SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    input_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    cached_input_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    cache_write_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    output_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    reasoning_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (at, account_id, project_id, key_id)
ORDER BY (at, account_id, project_id, key_id, tags, type, bucket, currency, route_type, channel, requested_model, upstream_model)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS spend_hour
(
    at DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    account_id LowCardinality(String),
    project_id LowCardinality(String),
    key_id LowCardinality(String),
    tags Array(LowCardinality(String)) CODEC(ZSTD(1)),
    type LowCardinality(String),
    bucket LowCardinality(String),
    currency LowCardinality(String),
    route_type LowCardinality(String),
    channel LowCardinality(String),
    requested_model LowCardinality(String),
    upstream_model LowCardinality(String),
    charges SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    spent_nano SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    written_off_nano SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    exposure_nano SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    input_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    cached_input_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    cache_write_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    output_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    reasoning_tokens SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (at, account_id, project_id, key_id)
ORDER BY (at, account_id, project_id, key_id, tags, type, bucket, currency, route_type, channel, requested_model, upstream_model)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;
