-- What is to be told of alerts: one row for each change of an alert and each receiver, written in the transaction of the change.
-- `position` is the order in which changes happened; of one alert, a receiver gets them in that order. `claim` names the attempt
-- under way, which counts until `claimed_until`.
CREATE TABLE analytics.delivery (
    delivery_id uuid PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    alert_id text NOT NULL,
    transition_id text NOT NULL,
    receiver text NOT NULL,
    event text NOT NULL CHECK (event IN ('firing', 'acknowledged', 'resolved')),
    account_id text NOT NULL DEFAULT '',
    notice jsonb NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'failed', 'skipped')),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_at timestamptz NOT NULL DEFAULT now(),
    claim uuid,
    claimed_until timestamptz,
    message_id uuid,
    status integer,
    reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    UNIQUE (alert_id, transition_id, receiver),
    CHECK ((state = 'waiting') = (ended_at IS NULL))
);
CREATE INDEX delivery_waiting ON analytics.delivery (receiver, position) WHERE state = 'waiting';
CREATE INDEX delivery_of_alert ON analytics.delivery (alert_id, receiver, position);

-- How a receiver does: when its last messages went out, how often in a row it failed, and until when it is left alone.
CREATE TABLE analytics.delivery_receiver (
    receiver text PRIMARY KEY,
    recent timestamptz[] NOT NULL DEFAULT '{}',
    failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    paused_until timestamptz,
    reason text,
    sent_at timestamptz
);
