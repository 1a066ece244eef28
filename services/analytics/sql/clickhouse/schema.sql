-- The tables of ClickHouse as they are today. Migrations in ../../clickhouse_migrations, applied in order, give the same.
--
-- Every table is a ReplacingMergeTree ordered to end in event_id: an event that was produced or inserted twice is one row
-- under FINAL. The deduplication window makes an insert that is repeated under its token a no-op.

-- Which ClickHouse this is: positions recorded in Postgres are those of one store, so that an empty one is filled from the start.
CREATE TABLE IF NOT EXISTS store
(
    store_id UUID,
    created_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY created_at
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What clients asked for: RequestAccepted, RequestRejected.
CREATE TABLE IF NOT EXISTS requests
(
    event_id UUID CODEC(ZSTD(1)),
    type LowCardinality(String),
    occurred_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    account_id LowCardinality(String),
    request_id Nullable(UUID) CODEC(ZSTD(1)),
    run_id String CODEC(ZSTD(1)),
    environment LowCardinality(String),
    tags Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    kafka_partition UInt16 CODEC(ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta(8), ZSTD(1)),
    project_id LowCardinality(String),
    key_id LowCardinality(String),
    key_name LowCardinality(String),
    client_api LowCardinality(String),
    requested_model LowCardinality(String),
    stream Bool,
    body_bytes UInt64 CODEC(ZSTD(1)),
    http_status UInt16 CODEC(ZSTD(1)),
    code LowCardinality(String),
    message String CODEC(ZSTD(1)),
    client_request_id String CODEC(ZSTD(1)),
    traceparent String CODEC(ZSTD(1)),
    loaded_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)),
    batch UInt64 DEFAULT 0 CODEC(ZSTD(1)),
    INDEX batch_index batch TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (type, occurred_at, event_id)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

-- Upstream calls and fallbacks: AttemptStarted, AttemptFinished, FallbackTaken.
CREATE TABLE IF NOT EXISTS attempts
(
    event_id UUID CODEC(ZSTD(1)),
    type LowCardinality(String),
    occurred_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    account_id LowCardinality(String),
    request_id Nullable(UUID) CODEC(ZSTD(1)),
    run_id String CODEC(ZSTD(1)),
    environment LowCardinality(String),
    tags Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    kafka_partition UInt16 CODEC(ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta(8), ZSTD(1)),
    project_id LowCardinality(String),
    key_id LowCardinality(String),
    key_name LowCardinality(String),
    requested_model LowCardinality(String),
    attempt Nullable(UInt16) CODEC(ZSTD(1)),
    channel LowCardinality(String),
    route_type LowCardinality(String),
    brand LowCardinality(String),
    upstream_model LowCardinality(String),
    hold_id Nullable(UUID) CODEC(ZSTD(1)),
    started_at Nullable(DateTime64(6, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    outcome LowCardinality(String),
    error_class LowCardinality(String),
    http_status Nullable(UInt16) CODEC(ZSTD(1)),
    latency_ms Nullable(Float64) CODEC(ZSTD(1)),
    ttft_ms Nullable(Float64) CODEC(ZSTD(1)),
    input_tokens UInt64 CODEC(ZSTD(1)),
    cached_input_tokens UInt64 CODEC(ZSTD(1)),
    cache_write_tokens UInt64 CODEC(ZSTD(1)),
    output_tokens UInt64 CODEC(ZSTD(1)),
    reasoning_tokens UInt64 CODEC(ZSTD(1)),
    usage_source LowCardinality(String),
    operator_cost_nano Nullable(Int64) CODEC(ZSTD(1)),
    operator_cost_currency LowCardinality(String),
    upstream_id String CODEC(ZSTD(1)),
    exposure_tokens UInt64 CODEC(ZSTD(1)),
    operator_exposure_nano Nullable(Int64) CODEC(ZSTD(1)),
    after_disconnect LowCardinality(String),
    to_channel LowCardinality(String),
    to_attempt Nullable(UInt16) CODEC(ZSTD(1)),
    fallback_reason LowCardinality(String),
    crossed_bucket Bool,
    loaded_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)),
    batch UInt64 DEFAULT 0 CODEC(ZSTD(1)),
    INDEX batch_index batch TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (type, occurred_at, event_id)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

-- One row per request that was held: RequestCompleted.
CREATE TABLE IF NOT EXISTS completions
(
    event_id UUID CODEC(ZSTD(1)),
    type LowCardinality(String),
    occurred_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    account_id LowCardinality(String),
    request_id Nullable(UUID) CODEC(ZSTD(1)),
    run_id String CODEC(ZSTD(1)),
    environment LowCardinality(String),
    tags Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    kafka_partition UInt16 CODEC(ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta(8), ZSTD(1)),
    project_id LowCardinality(String),
    key_id LowCardinality(String),
    key_name LowCardinality(String),
    client_api LowCardinality(String),
    requested_model LowCardinality(String),
    stream Bool,
    outcome LowCardinality(String),
    http_status UInt16 CODEC(ZSTD(1)),
    error_class LowCardinality(String),
    plan Array(LowCardinality(String)) CODEC(ZSTD(1)),
    attempts UInt16 CODEC(ZSTD(1)),
    fallbacks UInt16 CODEC(ZSTD(1)),
    charged_attempt Nullable(UInt16) CODEC(ZSTD(1)),
    channel LowCardinality(String),
    route_type LowCardinality(String),
    brand LowCardinality(String),
    upstream_model LowCardinality(String),
    input_tokens UInt64 CODEC(ZSTD(1)),
    cached_input_tokens UInt64 CODEC(ZSTD(1)),
    cache_write_tokens UInt64 CODEC(ZSTD(1)),
    output_tokens UInt64 CODEC(ZSTD(1)),
    reasoning_tokens UInt64 CODEC(ZSTD(1)),
    burned_tokens UInt64 CODEC(ZSTD(1)),
    bucket LowCardinality(String),
    currency LowCardinality(String),
    cost_nano Nullable(Int64) CODEC(ZSTD(1)),
    accepted_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    latency_ms Float64 CODEC(ZSTD(1)),
    ttft_ms Nullable(Float64) CODEC(ZSTD(1)),
    overhead_ms Float64 CODEC(ZSTD(1)),
    client_request_id String CODEC(ZSTD(1)),
    table_version UInt32 CODEC(ZSTD(1)),
    loaded_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)),
    batch UInt64 DEFAULT 0 CODEC(ZSTD(1)),
    INDEX batch_index batch TYPE minmax GRANULARITY 1,
    INDEX run_index run_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (occurred_at, event_id)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

-- What happened to money, in nano of the currency.
CREATE TABLE IF NOT EXISTS ledger
(
    event_id UUID CODEC(ZSTD(1)),
    type LowCardinality(String),
    occurred_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    account_id LowCardinality(String),
    request_id Nullable(UUID) CODEC(ZSTD(1)),
    run_id String CODEC(ZSTD(1)),
    environment LowCardinality(String),
    tags Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    kafka_partition UInt16 CODEC(ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta(8), ZSTD(1)),
    project_id LowCardinality(String),
    key_id LowCardinality(String),
    key_name LowCardinality(String),
    bucket LowCardinality(String),
    currency LowCardinality(String),
    amount_nano Nullable(Int64) CODEC(ZSTD(1)),
    hold_id Nullable(UUID) CODEC(ZSTD(1)),
    txn_id Nullable(UUID) CODEC(ZSTD(1)),
    case_id Nullable(UUID) CODEC(ZSTD(1)),
    hold_nano Nullable(Int64) CODEC(ZSTD(1)),
    released_nano Nullable(Int64) CODEC(ZSTD(1)),
    overrun_nano Nullable(Int64) CODEC(ZSTD(1)),
    exposure_nano Nullable(Int64) CODEC(ZSTD(1)),
    left_nano Nullable(Int64) CODEC(ZSTD(1)),
    balance_before_nano Nullable(Int64) CODEC(ZSTD(1)),
    balance_after_nano Nullable(Int64) CODEC(ZSTD(1)),
    held_after_nano Nullable(Int64) CODEC(ZSTD(1)),
    price_version UInt32 CODEC(ZSTD(1)),
    requested_model LowCardinality(String),
    channel LowCardinality(String),
    route_type LowCardinality(String),
    upstream_model LowCardinality(String),
    input_tokens UInt64 CODEC(ZSTD(1)),
    cached_input_tokens UInt64 CODEC(ZSTD(1)),
    cache_write_tokens UInt64 CODEC(ZSTD(1)),
    output_tokens UInt64 CODEC(ZSTD(1)),
    reasoning_tokens UInt64 CODEC(ZSTD(1)),
    deadline_at Nullable(DateTime64(6, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    envelope_kind LowCardinality(String),
    envelope_id LowCardinality(String),
    envelope_window LowCardinality(String),
    code LowCardinality(String),
    message String CODEC(ZSTD(1)),
    provider LowCardinality(String),
    payment_id String CODEC(ZSTD(1)),
    author LowCardinality(String),
    details String CODEC(ZSTD(1)),
    planned_route_type LowCardinality(String),
    planned_model LowCardinality(String),
    beside_nano Int64 CODEC(ZSTD(1)),
    loaded_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)),
    batch UInt64 DEFAULT 0 CODEC(ZSTD(1)),
    INDEX batch_index batch TYPE minmax GRANULARITY 1,
    INDEX run_index run_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (type, occurred_at, event_id)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

-- Signals that left their bounds, and when they came back. An alert that is published again may carry another instant:
-- the event id alone makes it one row.
CREATE TABLE IF NOT EXISTS alerts
(
    event_id UUID CODEC(ZSTD(1)),
    type LowCardinality(String),
    occurred_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    account_id LowCardinality(String),
    request_id Nullable(UUID) CODEC(ZSTD(1)),
    run_id String CODEC(ZSTD(1)),
    environment LowCardinality(String),
    tags Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    kafka_partition UInt16 CODEC(ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta(8), ZSTD(1)),
    alert_id String CODEC(ZSTD(1)),
    signal LowCardinality(String),
    state LowCardinality(String),
    subject_kind LowCardinality(String),
    subject_id LowCardinality(String),
    observed Float64 CODEC(ZSTD(1)),
    threshold Float64 CODEC(ZSTD(1)),
    unit LowCardinality(String),
    window_start DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    window_end DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    message String CODEC(ZSTD(1)),
    transition_id Nullable(UUID) CODEC(ZSTD(1)),
    rule LowCardinality(String),
    severity LowCardinality(String),
    project_id LowCardinality(String),
    baseline Nullable(Float64) CODEC(ZSTD(1)),
    peak Nullable(Float64) CODEC(ZSTD(1)),
    flaps UInt32 CODEC(ZSTD(1)),
    by String CODEC(ZSTD(1)),
    reason String CODEC(ZSTD(1)),
    action LowCardinality(String),
    loaded_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)),
    batch UInt64 DEFAULT 0 CODEC(ZSTD(1)),
    INDEX batch_index batch TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
ORDER BY (alert_id, event_id)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

-- Rollups of the above per minute and per hour, exact: each batch of the loader adds to them once. Every query sums, as rows of
-- one key may stand apart. `tags` holds sorted `name=value`; a histogram maps n to the number of values near 1.05^n ms.

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
    key_name SimpleAggregateFunction(max, LowCardinality(String)) CODEC(ZSTD(1)),
    requests SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    attempts SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    fallbacks SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    input_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    cached_input_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    cache_write_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    output_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    reasoning_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    burned_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    cost_nano SimpleAggregateFunction(sum, Int64) CODEC(T64, ZSTD(1)),
    burned_requests SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    latency_ms_sum SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    latency_hist SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(T64, ZSTD(3)),
    ttft_hist SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(T64, ZSTD(3)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(T64, ZSTD(1))
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
    key_name SimpleAggregateFunction(max, LowCardinality(String)) CODEC(ZSTD(1)),
    requests SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    attempts SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    fallbacks SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    input_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    cached_input_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    cache_write_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    output_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    reasoning_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    burned_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    cost_nano SimpleAggregateFunction(sum, Int64) CODEC(T64, ZSTD(1)),
    burned_requests SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    latency_ms_sum SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    latency_hist SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(T64, ZSTD(3)),
    ttft_hist SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(T64, ZSTD(3)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(T64, ZSTD(1))
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
    attempts SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    failed SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    burned_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    operator_cost_nano SimpleAggregateFunction(sum, Int64) CODEC(T64, ZSTD(1)),
    latency_hist SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(T64, ZSTD(3)),
    ttft_hist SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(T64, ZSTD(3)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(T64, ZSTD(1))
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
    attempts SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    failed SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    burned_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    operator_cost_nano SimpleAggregateFunction(sum, Int64) CODEC(T64, ZSTD(1)),
    latency_hist SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(T64, ZSTD(3)),
    ttft_hist SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(T64, ZSTD(3)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(T64, ZSTD(1))
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
    fallbacks SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(T64, ZSTD(1))
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
    fallbacks SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(T64, ZSTD(1))
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
    requests SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(T64, ZSTD(1))
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
    requests SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(T64, ZSTD(1))
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
    price_version UInt32 CODEC(ZSTD(1)),
    planned_route_type LowCardinality(String),
    planned_model LowCardinality(String),
    charges SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    spent_nano SimpleAggregateFunction(sum, Int64) CODEC(T64, ZSTD(1)),
    written_off_nano SimpleAggregateFunction(sum, Int64) CODEC(T64, ZSTD(1)),
    exposure_nano SimpleAggregateFunction(sum, Int64) CODEC(T64, ZSTD(1)),
    input_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    cached_input_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    cache_write_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    output_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    reasoning_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    beside_nano SimpleAggregateFunction(sum, Int64) CODEC(T64, ZSTD(1)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(T64, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (at, account_id, project_id, key_id)
ORDER BY (at, account_id, project_id, key_id, tags, type, bucket, currency, route_type, channel, requested_model, upstream_model, price_version, planned_route_type, planned_model)
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
    price_version UInt32 CODEC(ZSTD(1)),
    planned_route_type LowCardinality(String),
    planned_model LowCardinality(String),
    charges SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    spent_nano SimpleAggregateFunction(sum, Int64) CODEC(T64, ZSTD(1)),
    written_off_nano SimpleAggregateFunction(sum, Int64) CODEC(T64, ZSTD(1)),
    exposure_nano SimpleAggregateFunction(sum, Int64) CODEC(T64, ZSTD(1)),
    input_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    cached_input_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    cache_write_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    output_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    reasoning_tokens SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    beside_nano SimpleAggregateFunction(sum, Int64) CODEC(T64, ZSTD(1)),
    batch SimpleAggregateFunction(max, UInt64) CODEC(T64, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (at, account_id, project_id, key_id)
ORDER BY (at, account_id, project_id, key_id, tags, type, bucket, currency, route_type, channel, requested_model, upstream_model, price_version, planned_route_type, planned_model)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;
