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
    loaded_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1))
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
    loaded_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1))
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
    loaded_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1))
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
    loaded_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1))
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
    loaded_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (alert_id, event_id)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;
