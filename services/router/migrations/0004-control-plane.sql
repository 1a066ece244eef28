-- Channels that an operator took out of use, changes that wait to be announced, and the log of every change.
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
