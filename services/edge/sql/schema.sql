-- Today's truth of edge's tables. The migrations replayed give exactly this; a test compares the two.
CREATE SCHEMA edge;

-- Accounts own projects, projects own keys. Ids are minted by edge; `version` grows with every change that others must hear of.
-- `policy` NULL: this envelope leaves everything to the ones around and within.
CREATE TABLE edge.account (
    account_id text PRIMARY KEY,
    name text NOT NULL,
    frozen boolean NOT NULL DEFAULT false,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    policy jsonb,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE edge.project (
    project_id text PRIMARY KEY,
    account_id text NOT NULL REFERENCES edge.account,
    name text NOT NULL,
    frozen boolean NOT NULL DEFAULT false,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    policy jsonb,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX project_of_account ON edge.project (account_id, project_id);

CREATE TABLE edge.api_key (
    key_id text PRIMARY KEY CHECK (length(key_id) = 12),
    project_id text NOT NULL REFERENCES edge.project,
    name text NOT NULL,
    environment text NOT NULL,
    policy jsonb,
    secret_hmac bytea NOT NULL CHECK (length(secret_hmac) = 32),
    pepper_version integer NOT NULL,
    frozen boolean NOT NULL DEFAULT false,
    revoked boolean NOT NULL DEFAULT false,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX api_key_of_project ON edge.api_key (project_id, key_id);

-- What a client's idempotency key is bound to. An expired row may be taken over.
CREATE TABLE edge.claim (
    key_id text NOT NULL,
    idempotency_key text NOT NULL,
    request_hash bytea NOT NULL,
    request_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('in_flight', 'done')),
    claimed_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    reply bytea,
    PRIMARY KEY (key_id, idempotency_key)
);

COMMENT ON COLUMN edge.claim.reply IS 'sealed under TOLLBOOK_SECRETS_KEY; null for streams, long replies, and where a policy keeps none';

CREATE INDEX claim_expiry ON edge.claim (expires_at);

-- Replies of admin create calls under the caller's idempotency key; encrypted, since one of them shows a new key's secret.
CREATE TABLE edge.admin_reply (
    operation text NOT NULL,
    idempotency_key text NOT NULL,
    request_hash bytea NOT NULL,
    reply bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (operation, idempotency_key)
);

-- Records for the control topic, written in the transaction that changes the entity and deleted once Kafka has them.
CREATE TABLE edge.control_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    record jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Who changed an account, a project or a key, and why: the last one beside the entity, every one in a record that only grows.
ALTER TABLE edge.account ADD COLUMN updated_by text;
ALTER TABLE edge.project ADD COLUMN updated_by text;
ALTER TABLE edge.api_key ADD COLUMN updated_by text;

CREATE TABLE edge.change (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('account', 'project', 'key')),
    entity_id text NOT NULL,
    version bigint NOT NULL,
    what text NOT NULL CHECK (what IN ('frozen', 'unfrozen', 'policy', 'revoked')),
    author text NOT NULL,
    reason text,
    policy jsonb,
    at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (kind, entity_id, version)
);

-- Batches that edge let in. Files have no table: their records lie beside them in object storage.
CREATE TABLE edge.batch (
    batch_id text PRIMARY KEY,
    account_id text NOT NULL,
    project_id text NOT NULL,
    key_id text NOT NULL,
    event jsonb NOT NULL,
    completion_window text NOT NULL,
    metadata jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    announced_at timestamptz,
    cancel_asked_at timestamptz,
    idempotency_key text,
    request_hash bytea NOT NULL,
    UNIQUE (key_id, idempotency_key)
);

COMMENT ON COLUMN edge.batch.event IS 'BatchAccepted as it goes, or went, to the log; announced_at is set once Kafka has it';

CREATE INDEX batch_of_project ON edge.batch (project_id, batch_id);

CREATE INDEX batch_to_announce ON edge.batch (created_at) WHERE announced_at IS NULL;

-- Users with roles, the access tokens that they present to admin calls, and the record of every change.
CREATE TABLE edge.admin_user (
    user_id text PRIMARY KEY,
    name text NOT NULL,
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE edge.role_grant (
    grant_id text PRIMARY KEY,
    user_id text NOT NULL REFERENCES edge.admin_user,
    role text NOT NULL CHECK (role IN ('operator', 'on-call', 'owner', 'billing', 'member')),
    account_id text REFERENCES edge.account,
    given_by text NOT NULL,
    given_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((role IN ('owner', 'billing', 'member')) = (account_id IS NOT NULL))
);

CREATE UNIQUE INDEX role_grant_once ON edge.role_grant (user_id, role, coalesce(account_id, ''));

CREATE INDEX role_grant_of_account ON edge.role_grant (account_id, grant_id);

CREATE TABLE edge.access_token (
    token_id text PRIMARY KEY CHECK (length(token_id) = 12),
    user_id text NOT NULL REFERENCES edge.admin_user,
    name text NOT NULL,
    secret_hmac bytea NOT NULL CHECK (length(secret_hmac) = 32),
    pepper_version integer NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_on date
);

CREATE INDEX access_token_of_user ON edge.access_token (user_id, token_id);

CREATE TABLE edge.audit_entry (
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
    request_id uuid NOT NULL,
    client_ip text
);

CREATE INDEX audit_entry_of_account ON edge.audit_entry (account_id, id);

CREATE INDEX audit_entry_of_entity ON edge.audit_entry (entity_kind, entity_id, id);

CREATE INDEX audit_entry_of_actor ON edge.audit_entry (actor, id);

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

-- Whoever runs the installation freezes for its own reasons: an owner cannot lift that.
ALTER TABLE edge.account ADD COLUMN frozen_by_operator boolean NOT NULL DEFAULT false;
ALTER TABLE edge.project ADD COLUMN frozen_by_operator boolean NOT NULL DEFAULT false;
ALTER TABLE edge.api_key ADD COLUMN frozen_by_operator boolean NOT NULL DEFAULT false;

-- The accounts whose roles the maker of a token could give when it was made, '*' for every role of the installation: a role elsewhere ends it.
ALTER TABLE edge.access_token ADD COLUMN vouched_for text[] NOT NULL DEFAULT '{}';
-- Whoever runs the installation ends a user for its own reasons: an owner cannot lift that.
ALTER TABLE edge.admin_user ADD COLUMN deactivated_by_operator boolean NOT NULL DEFAULT false;
