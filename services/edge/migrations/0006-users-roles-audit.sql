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
