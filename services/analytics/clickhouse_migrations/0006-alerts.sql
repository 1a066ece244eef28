-- Which rule an alert is of, how far it went and who did what: the life of an alert is in the topic.
ALTER TABLE alerts ADD COLUMN IF NOT EXISTS transition_id Nullable(UUID) CODEC(ZSTD(1)) AFTER message;
ALTER TABLE alerts ADD COLUMN IF NOT EXISTS rule LowCardinality(String) AFTER transition_id;
ALTER TABLE alerts ADD COLUMN IF NOT EXISTS severity LowCardinality(String) AFTER rule;
ALTER TABLE alerts ADD COLUMN IF NOT EXISTS project_id LowCardinality(String) AFTER severity;
ALTER TABLE alerts ADD COLUMN IF NOT EXISTS baseline Nullable(Float64) CODEC(ZSTD(1)) AFTER project_id;
ALTER TABLE alerts ADD COLUMN IF NOT EXISTS peak Nullable(Float64) CODEC(ZSTD(1)) AFTER baseline;
ALTER TABLE alerts ADD COLUMN IF NOT EXISTS flaps UInt32 CODEC(ZSTD(1)) AFTER peak;
ALTER TABLE alerts ADD COLUMN IF NOT EXISTS by String CODEC(ZSTD(1)) AFTER flaps;
ALTER TABLE alerts ADD COLUMN IF NOT EXISTS reason String CODEC(ZSTD(1)) AFTER by;
ALTER TABLE alerts ADD COLUMN IF NOT EXISTS action LowCardinality(String) AFTER reason;
