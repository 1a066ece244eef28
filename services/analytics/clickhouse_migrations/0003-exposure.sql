-- What a provider may bill for an attempt whose own count never came, and what became of a call whose client had left.
ALTER TABLE attempts ADD COLUMN IF NOT EXISTS exposure_tokens UInt64 CODEC(ZSTD(1)) AFTER upstream_id;
ALTER TABLE attempts ADD COLUMN IF NOT EXISTS operator_exposure_nano Nullable(Int64) CODEC(ZSTD(1)) AFTER exposure_tokens;
ALTER TABLE attempts ADD COLUMN IF NOT EXISTS after_disconnect LowCardinality(String) AFTER operator_exposure_nano;
