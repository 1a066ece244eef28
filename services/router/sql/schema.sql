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

CREATE TABLE router.batch (
    batch_id text PRIMARY KEY,
    account_id text NOT NULL,
    event jsonb NOT NULL,
    status text NOT NULL CHECK (status IN (
        'validating', 'in_progress', 'finalizing', 'completed', 'failed', 'expired', 'cancelling', 'cancelled'
    )),
    stopped text CHECK (stopped IN ('expired', 'cancelled', 'failed')),
    total integer NOT NULL DEFAULT 0 CHECK (total >= 0),
    errors jsonb NOT NULL DEFAULT '[]',
    reached jsonb NOT NULL,
    output_file_id text,
    error_file_id text,
    expires_at timestamptz NOT NULL,
    taken_in_at timestamptz NOT NULL DEFAULT now(),
    worker text,
    epoch integer NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    leased_until timestamptz,
    running integer NOT NULL DEFAULT 0 CHECK (running >= 0)
);

CREATE INDEX batch_to_work_on ON router.batch (taken_in_at) WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling');

COMMENT ON COLUMN router.batch.event IS 'BatchAccepted as it was read: who asks and which file, never what is in it';
COMMENT ON COLUMN router.batch.stopped IS 'why no more lines are begun; null while they are, and where all of them were';
COMMENT ON COLUMN router.batch.epoch IS 'counts the leases: a worker whose epoch has passed changes nothing';

CREATE TABLE router.batch_line (
    batch_id text NOT NULL REFERENCES router.batch,
    line integer NOT NULL CHECK (line > 0),
    repeat integer NOT NULL CHECK (repeat >= 0),
    request_id uuid NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('completed', 'failed', 'lost')),
    code text,
    ended_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch_id, line, repeat)
);

COMMENT ON COLUMN router.batch_line.outcome IS 'lost: the worker that had claimed it left no result; the next repeat of the line, if there is one, counts';

CREATE TABLE router.batch_cancellation (
    batch_id text PRIMARY KEY,
    asked_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE router.batch_cancellation IS 'Asked for by edge, perhaps before the batch itself was read from the log';

CREATE TABLE router.channel_freeze (
    channel_id text PRIMARY KEY,
    frozen boolean NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    author text NOT NULL,
    reason text,
    changed_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE router.channel_freeze IS 'The latest decision on each channel that was ever frozen. No part of the route table: a new table does not lift it';

CREATE TABLE router.control_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    record jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE router.control_outbox IS 'Records for the control topic, written in the transaction of the change and deleted once Kafka has them';

CREATE TABLE router.audit_entry (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    actor_name text NOT NULL,
    action text NOT NULL,
    entity_kind text NOT NULL,
    entity_id text NOT NULL,
    account_id text,
    before jsonb,
    after jsonb,
    reason text,
    request_id text,
    client_ip text
);

CREATE INDEX audit_entry_of_entity ON router.audit_entry (entity_kind, entity_id, id DESC);

CREATE INDEX audit_entry_of_actor ON router.audit_entry (actor, id DESC);

COMMENT ON TABLE router.audit_entry IS 'Who changed what, as it was before and after, in the transaction of the change. Never changed; no secret is in it';
COMMENT ON COLUMN router.audit_entry.id IS 'UUIDv7: in the order of time';
