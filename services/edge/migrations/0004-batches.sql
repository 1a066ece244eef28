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
