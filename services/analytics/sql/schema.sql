-- Analytics' schema in Postgres as it is today. Migrations in ../migrations, applied in order, give the same.

CREATE SCHEMA IF NOT EXISTS analytics;

-- The loader's place in each ClickHouse store. `batch_no` counts recorded batches; `pending` is the batch whose insert has
-- begun and is not known to be done, as [topic, partition, first, last] rows: it is inserted again under the same tokens.
CREATE TABLE analytics.loader (
    store_id uuid PRIMARY KEY,
    batch_no bigint NOT NULL DEFAULT 0 CHECK (batch_no >= 0),
    pending jsonb,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- The next offset to load of each partition: all before it are rows.
CREATE TABLE analytics.loader_position (
    store_id uuid NOT NULL REFERENCES analytics.loader,
    topic text NOT NULL,
    partition integer NOT NULL CHECK (partition >= 0),
    next_offset bigint NOT NULL CHECK (next_offset >= 0),
    PRIMARY KEY (store_id, topic, partition)
);

-- Alerts.

-- Alerts as they stand. `document` is the whole alert; the columns are those that are asked by.
CREATE TABLE analytics.alert (
    alert_id uuid PRIMARY KEY,
    rule text NOT NULL,
    subject_kind text NOT NULL,
    subject_id text NOT NULL,
    signal text NOT NULL,
    account_id text NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'firing', 'acknowledged', 'resolved', 'dropped')),
    opened_at timestamptz NOT NULL,
    fired_at timestamptz,
    resolved_at timestamptz,
    document jsonb NOT NULL,
    updated_at timestamptz NOT NULL
);

-- One open alert for each rule and subject.
CREATE UNIQUE INDEX alert_open ON analytics.alert (rule, subject_kind, subject_id)
WHERE state IN ('pending', 'firing', 'acknowledged');
CREATE INDEX alert_about ON analytics.alert (rule, subject_kind, subject_id, opened_at DESC);
CREATE INDEX alert_in_time ON analytics.alert ((coalesce(fired_at, opened_at)) DESC, alert_id DESC);

-- What happened to an alert, in order. `alert` is the alert as it was afterwards.
CREATE TABLE analytics.alert_transition (
    transition_id uuid PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    alert_id uuid NOT NULL REFERENCES analytics.alert,
    kind text NOT NULL,
    at timestamptz NOT NULL,
    told boolean NOT NULL,
    by text,
    reason text,
    alert jsonb NOT NULL
);
CREATE INDEX alert_transition_of_alert ON analytics.alert_transition (alert_id, position);

-- Events that wait to be published, in the order of their changes.
CREATE TABLE analytics.alert_outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event jsonb NOT NULL,
    published_at timestamptz
);
CREATE INDEX alert_outbox_waiting ON analytics.alert_outbox (position) WHERE published_at IS NULL;

-- What is not told for a while. An empty word fits everything.
CREATE TABLE analytics.silence (
    silence_id uuid PRIMARY KEY,
    rule text NOT NULL DEFAULT '',
    subject_kind text NOT NULL DEFAULT '',
    subject_id text NOT NULL DEFAULT '',
    tag text NOT NULL DEFAULT '',
    account_id text NOT NULL DEFAULT '',
    until timestamptz NOT NULL,
    by text NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    ended_by text,
    CHECK (rule <> '' OR subject_id <> '' OR tag <> '' OR account_id <> '')
);
CREATE INDEX silence_until ON analytics.silence (until) WHERE ended_at IS NULL;

-- What rules want frozen: `asked` waits for a person, `waiting` for the service that owns the entity. `claimed_until` is while
-- an attempt is under way.
CREATE TABLE analytics.alert_freeze (
    freeze_id uuid PRIMARY KEY,
    alert_id uuid NOT NULL REFERENCES analytics.alert,
    kind text NOT NULL CHECK (kind IN ('key', 'project', 'channel')),
    target_id text NOT NULL,
    state text NOT NULL CHECK (state IN ('asked', 'waiting', 'done', 'failed', 'declined', 'withdrawn')),
    locked boolean NOT NULL,
    author text NOT NULL,
    reason text NOT NULL,
    asked_at timestamptz NOT NULL,
    decided_by text,
    decided_at timestamptz,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_at timestamptz NOT NULL,
    claimed_until timestamptz,
    last_error text,
    done_at timestamptz
);
CREATE INDEX alert_freeze_waiting ON analytics.alert_freeze (next_at) WHERE state = 'waiting';
CREATE INDEX alert_freeze_of_alert ON analytics.alert_freeze (alert_id, asked_at);

-- When each meter was last heard of, and how far behind it said it was.
CREATE TABLE analytics.alert_meter (
    meter text PRIMARY KEY,
    heard_at timestamptz NOT NULL,
    sent_at timestamptz NOT NULL,
    lag_s double precision NOT NULL
);

-- Who changed what, as it was before and after, in the transaction of the change. Never changed; no secret is in it.
CREATE TABLE analytics.audit_entry (
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
CREATE INDEX audit_entry_of_entity ON analytics.audit_entry (entity_kind, entity_id, id DESC);
CREATE INDEX audit_entry_of_actor ON analytics.audit_entry (actor, id DESC);
CREATE INDEX audit_entry_of_account ON analytics.audit_entry (account_id, id DESC);

-- Deliveries.

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

-- Versions of the alert rules, as they were sent. The last is in force; none is ever changed.
CREATE TABLE analytics.alert_rules (
    version bigint PRIMARY KEY CHECK (version > 0),
    file text NOT NULL,
    sha256 text NOT NULL,
    author text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Forgetting.

-- What is over is forgotten after some days. The service's role may delete nothing itself: this function is all it may have done.
CREATE INDEX alert_outbox_published ON analytics.alert_outbox (published_at) WHERE published_at IS NOT NULL;
CREATE INDEX delivery_ended ON analytics.delivery (ended_at) WHERE state <> 'waiting';
CREATE INDEX alert_transition_in_time ON analytics.alert_transition (at);
CREATE INDEX alert_dropped ON analytics.alert (updated_at) WHERE state = 'dropped';

-- Removes up to `p_most` of each: events that were published and deliveries that ended before `p_told_before`; the steps of alerts
-- that were over, silences that had ended, and alerts that never fired, before `p_over_before`. Nothing of the last eight days goes,
-- whatever is asked for, and nothing of an alert that is open or of which somebody is still to be told.
CREATE FUNCTION analytics.forget(p_told_before timestamptz, p_over_before timestamptz, p_most integer)
RETURNS TABLE (what text, removed bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_told timestamptz := least(p_told_before, clock_timestamp() - interval '8 days');
    v_over timestamptz := least(p_over_before, clock_timestamp() - interval '8 days');
    v_open text[] := ARRAY(SELECT alert_id::text FROM analytics.alert WHERE state IN ('pending', 'firing', 'acknowledged'));
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('analytics/forget', 0)) THEN
        RETURN;
    END IF;

    what := 'events';
    DELETE FROM analytics.alert_outbox WHERE position IN (
        SELECT old.position FROM analytics.alert_outbox AS old WHERE old.published_at < v_told ORDER BY old.published_at LIMIT p_most
    );
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN NEXT;

    what := 'deliveries';
    DELETE FROM analytics.delivery WHERE delivery_id IN (
        SELECT old.delivery_id FROM analytics.delivery AS old
        WHERE old.state <> 'waiting' AND old.ended_at < v_told AND old.alert_id <> ALL (v_open)
            AND NOT EXISTS (SELECT FROM analytics.delivery AS left_ WHERE left_.alert_id = old.alert_id AND left_.state = 'waiting')
        ORDER BY old.ended_at LIMIT p_most
    );
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN NEXT;

    what := 'steps';
    DELETE FROM analytics.alert_transition WHERE transition_id IN (
        SELECT step.transition_id FROM analytics.alert_transition AS step JOIN analytics.alert USING (alert_id)
        WHERE step.at < v_over AND alert.updated_at < v_over AND alert.state IN ('resolved', 'dropped')
        ORDER BY step.at LIMIT p_most
    );
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN NEXT;

    what := 'alerts';
    DELETE FROM analytics.alert WHERE alert_id IN (
        SELECT old.alert_id FROM analytics.alert AS old
        WHERE old.state = 'dropped' AND old.fired_at IS NULL AND old.updated_at < v_over
            AND NOT EXISTS (SELECT FROM analytics.alert_transition AS step WHERE step.alert_id = old.alert_id)
            AND NOT EXISTS (SELECT FROM analytics.alert_freeze AS wanted WHERE wanted.alert_id = old.alert_id)
        ORDER BY old.updated_at LIMIT p_most
    );
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN NEXT;

    what := 'silences';
    DELETE FROM analytics.silence WHERE silence_id IN (
        SELECT old.silence_id FROM analytics.silence AS old WHERE least(old.until, old.ended_at) < v_over LIMIT p_most
    );
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN NEXT;
END
$$;
REVOKE ALL ON FUNCTION analytics.forget FROM PUBLIC;
