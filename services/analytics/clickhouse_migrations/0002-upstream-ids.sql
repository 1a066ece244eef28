-- The provider's own id of an attempt's reply: what its usage export is compared by.
ALTER TABLE attempts ADD COLUMN IF NOT EXISTS upstream_id String CODEC(ZSTD(1)) AFTER operator_cost_currency;
