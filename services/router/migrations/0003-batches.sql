-- Batches: what the batch worker took from the log, and how far it has come. No text of a request is here: ids and numbers alone.

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
