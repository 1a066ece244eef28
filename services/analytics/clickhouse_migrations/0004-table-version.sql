-- The route table that a request was planned by; 0 for requests of before it was recorded.
ALTER TABLE completions ADD COLUMN IF NOT EXISTS table_version UInt32 CODEC(ZSTD(1)) AFTER client_request_id;
