-- Router's tables as they are today. Every migration replayed must give the same.

CREATE TABLE router.route_table (
    version bigint PRIMARY KEY CHECK (version > 0),
    document jsonb NOT NULL,
    fingerprint bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE router.route_table IS 'Every route table that was ever in force, without secrets; the highest version is in force';
COMMENT ON COLUMN router.route_table.fingerprint IS 'Keyed hash of the whole table with its secrets: the same content again makes no new version';

CREATE TABLE router.channel_key (
    version bigint NOT NULL REFERENCES router.route_table (version),
    channel_id text NOT NULL,
    position integer NOT NULL CHECK (position >= 0),
    origin text NOT NULL,
    secret_env text,
    nonce bytea,
    sealed bytea,
    form smallint NOT NULL DEFAULT 1,
    key_id text,
    PRIMARY KEY (version, channel_id, position),
    CHECK ((secret_env IS NULL) = (sealed IS NOT NULL)),
    CHECK ((nonce IS NULL) = (sealed IS NULL)),
    CONSTRAINT channel_key_names_its_key CHECK ((form = 1) = (key_id IS NULL))
);

COMMENT ON TABLE router.channel_key IS 'The keys of each channel: sealed (AES-256-GCM, see form) or the name of an environment variable';
COMMENT ON COLUMN router.channel_key.form IS '1: bound to channel and origin; 2: to tenant, channel, brand, dialect and origin, under the key that key_id names';
