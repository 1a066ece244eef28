-- Keys that rotate, expire, keep to some addresses; requests and tokens per minute of accounts, projects and keys.
ALTER TABLE edge.api_key ADD COLUMN expires_at timestamptz;
ALTER TABLE edge.api_key ADD COLUMN allowed_ips text[] CHECK (cardinality(allowed_ips) > 0);
ALTER TABLE edge.api_key ADD COLUMN rotated_at timestamptz;
ALTER TABLE edge.api_key ADD COLUMN previous_hmac bytea CHECK (length(previous_hmac) = 32);
ALTER TABLE edge.api_key ADD COLUMN previous_pepper_version integer;
ALTER TABLE edge.api_key ADD COLUMN previous_expires_at timestamptz;
ALTER TABLE edge.api_key ADD CONSTRAINT previous_secret_is_whole CHECK (num_nulls(previous_hmac, previous_pepper_version, previous_expires_at) IN (0, 3));

COMMENT ON COLUMN edge.api_key.previous_hmac IS 'the secret that the last rotation replaced; it opens the door until previous_expires_at';

ALTER TABLE edge.account ADD COLUMN requests_per_minute bigint CHECK (requests_per_minute > 0);
ALTER TABLE edge.account ADD COLUMN tokens_per_minute bigint CHECK (tokens_per_minute > 0);
ALTER TABLE edge.project ADD COLUMN requests_per_minute bigint CHECK (requests_per_minute > 0);
ALTER TABLE edge.project ADD COLUMN tokens_per_minute bigint CHECK (tokens_per_minute > 0);
ALTER TABLE edge.api_key ADD COLUMN requests_per_minute bigint CHECK (requests_per_minute > 0);
ALTER TABLE edge.api_key ADD COLUMN tokens_per_minute bigint CHECK (tokens_per_minute > 0);

ALTER TABLE edge.change DROP CONSTRAINT change_what_check;
ALTER TABLE edge.change ADD CONSTRAINT change_what_check CHECK (what IN ('frozen', 'unfrozen', 'policy', 'revoked', 'changed', 'rotated'));
