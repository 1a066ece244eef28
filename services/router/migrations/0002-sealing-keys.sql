-- Which key a channel's secret is sealed under, and to what it is bound.

ALTER TABLE router.channel_key ADD COLUMN form smallint NOT NULL DEFAULT 1;
ALTER TABLE router.channel_key ADD COLUMN key_id text;
ALTER TABLE router.channel_key ADD CONSTRAINT channel_key_names_its_key CHECK ((form = 1) = (key_id IS NULL));

COMMENT ON COLUMN router.channel_key.form IS '1: bound to channel and origin; 2: to tenant, channel, brand, dialect and origin, under the key that key_id names';
COMMENT ON TABLE router.channel_key IS 'The keys of each channel: sealed (AES-256-GCM, see form) or the name of an environment variable';
