-- The rollups' sums under the codecs that were smallest and quickest to read when they were measured (docs/performance.md). Only the
-- definition changes: parts that exist keep the old codec until they are merged.
ALTER TABLE usage_minute
    MODIFY COLUMN key_name SimpleAggregateFunction(max, LowCardinality(String)) CODEC(ZSTD(1)),
    MODIFY COLUMN requests CODEC(T64, ZSTD(1)),
    MODIFY COLUMN attempts CODEC(T64, ZSTD(1)),
    MODIFY COLUMN fallbacks CODEC(T64, ZSTD(1)),
    MODIFY COLUMN input_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN cached_input_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN cache_write_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN output_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN reasoning_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN burned_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN cost_nano CODEC(T64, ZSTD(1)),
    MODIFY COLUMN burned_requests CODEC(T64, ZSTD(1)),
    MODIFY COLUMN latency_ms_sum CODEC(T64, ZSTD(1)),
    MODIFY COLUMN latency_hist CODEC(T64, ZSTD(3)),
    MODIFY COLUMN ttft_hist CODEC(T64, ZSTD(3)),
    MODIFY COLUMN batch CODEC(T64, ZSTD(1));
ALTER TABLE usage_hour
    MODIFY COLUMN key_name SimpleAggregateFunction(max, LowCardinality(String)) CODEC(ZSTD(1)),
    MODIFY COLUMN requests CODEC(T64, ZSTD(1)),
    MODIFY COLUMN attempts CODEC(T64, ZSTD(1)),
    MODIFY COLUMN fallbacks CODEC(T64, ZSTD(1)),
    MODIFY COLUMN input_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN cached_input_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN cache_write_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN output_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN reasoning_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN burned_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN cost_nano CODEC(T64, ZSTD(1)),
    MODIFY COLUMN burned_requests CODEC(T64, ZSTD(1)),
    MODIFY COLUMN latency_ms_sum CODEC(T64, ZSTD(1)),
    MODIFY COLUMN latency_hist CODEC(T64, ZSTD(3)),
    MODIFY COLUMN ttft_hist CODEC(T64, ZSTD(3)),
    MODIFY COLUMN batch CODEC(T64, ZSTD(1));
ALTER TABLE attempts_minute
    MODIFY COLUMN attempts CODEC(T64, ZSTD(1)),
    MODIFY COLUMN failed CODEC(T64, ZSTD(1)),
    MODIFY COLUMN tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN burned_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN operator_cost_nano CODEC(T64, ZSTD(1)),
    MODIFY COLUMN latency_hist CODEC(T64, ZSTD(3)),
    MODIFY COLUMN ttft_hist CODEC(T64, ZSTD(3)),
    MODIFY COLUMN batch CODEC(T64, ZSTD(1));
ALTER TABLE attempts_hour
    MODIFY COLUMN attempts CODEC(T64, ZSTD(1)),
    MODIFY COLUMN failed CODEC(T64, ZSTD(1)),
    MODIFY COLUMN tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN burned_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN operator_cost_nano CODEC(T64, ZSTD(1)),
    MODIFY COLUMN latency_hist CODEC(T64, ZSTD(3)),
    MODIFY COLUMN ttft_hist CODEC(T64, ZSTD(3)),
    MODIFY COLUMN batch CODEC(T64, ZSTD(1));
ALTER TABLE fallbacks_minute
    MODIFY COLUMN fallbacks CODEC(T64, ZSTD(1)),
    MODIFY COLUMN batch CODEC(T64, ZSTD(1));
ALTER TABLE fallbacks_hour
    MODIFY COLUMN fallbacks CODEC(T64, ZSTD(1)),
    MODIFY COLUMN batch CODEC(T64, ZSTD(1));
ALTER TABLE rejections_minute
    MODIFY COLUMN requests CODEC(T64, ZSTD(1)),
    MODIFY COLUMN batch CODEC(T64, ZSTD(1));
ALTER TABLE rejections_hour
    MODIFY COLUMN requests CODEC(T64, ZSTD(1)),
    MODIFY COLUMN batch CODEC(T64, ZSTD(1));
ALTER TABLE spend_minute
    MODIFY COLUMN charges CODEC(T64, ZSTD(1)),
    MODIFY COLUMN spent_nano CODEC(T64, ZSTD(1)),
    MODIFY COLUMN written_off_nano CODEC(T64, ZSTD(1)),
    MODIFY COLUMN exposure_nano CODEC(T64, ZSTD(1)),
    MODIFY COLUMN input_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN cached_input_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN cache_write_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN output_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN reasoning_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN beside_nano CODEC(T64, ZSTD(1)),
    MODIFY COLUMN batch CODEC(T64, ZSTD(1));
ALTER TABLE spend_hour
    MODIFY COLUMN charges CODEC(T64, ZSTD(1)),
    MODIFY COLUMN spent_nano CODEC(T64, ZSTD(1)),
    MODIFY COLUMN written_off_nano CODEC(T64, ZSTD(1)),
    MODIFY COLUMN exposure_nano CODEC(T64, ZSTD(1)),
    MODIFY COLUMN input_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN cached_input_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN cache_write_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN output_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN reasoning_tokens CODEC(T64, ZSTD(1)),
    MODIFY COLUMN beside_nano CODEC(T64, ZSTD(1)),
    MODIFY COLUMN batch CODEC(T64, ZSTD(1));
