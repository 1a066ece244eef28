-- name: take_turn
-- Whoever moves alerts waits for its turn: two instances, a detector and a person never move one at once. `at` is this turn's instant.
-- A process that stands still in its turn (a host that was suspended) loses it, and its transaction, to the others.
SELECT set_config('idle_in_transaction_session_timeout', '30s', true), pg_advisory_xact_lock(hashtextextended('analytics/alerts', 0)),
    clock_timestamp() AS at

-- name: alerts_about
SELECT DISTINCT ON (alert.rule, alert.subject_kind, alert.subject_id) alert.document, alert.updated_at
FROM unnest(%(rules)s::text[], %(kinds)s::text[], %(subjects)s::text[]) AS asked (rule, subject_kind, subject_id)
JOIN analytics.alert USING (rule, subject_kind, subject_id)
ORDER BY alert.rule, alert.subject_kind, alert.subject_id, alert.opened_at DESC

-- name: alert
SELECT document FROM analytics.alert WHERE alert_id = %(alert_id)s

-- name: open_alerts
SELECT document FROM analytics.alert WHERE state IN ('pending', 'firing', 'acknowledged')
ORDER BY rule, subject_kind, subject_id

-- name: open_subjects
SELECT rule, signal, subject_kind, subject_id, account_id, document -> 'last' ->> 'project_id' AS project_id,
    document -> 'last' ->> 'environment' AS environment, state
FROM analytics.alert WHERE state IN ('pending', 'firing', 'acknowledged') AND signal = ANY(%(signals)s)
ORDER BY rule, subject_kind, subject_id

-- name: keep_alert
INSERT INTO analytics.alert (
    alert_id, rule, subject_kind, subject_id, signal, account_id, state, opened_at, fired_at, resolved_at, document, updated_at
) VALUES (
    %(alert_id)s, %(rule)s, %(subject_kind)s, %(subject_id)s, %(signal)s, %(account_id)s, %(state)s, %(opened_at)s, %(fired_at)s,
    %(resolved_at)s, %(document)s, %(at)s
)
ON CONFLICT (alert_id) DO UPDATE SET account_id = excluded.account_id, state = excluded.state, fired_at = excluded.fired_at,
    resolved_at = excluded.resolved_at, document = excluded.document, updated_at = excluded.updated_at

-- name: add_transition
INSERT INTO analytics.alert_transition (transition_id, alert_id, kind, at, told, by, reason, alert)
VALUES (%(transition_id)s, %(alert_id)s, %(kind)s, %(at)s, %(told)s, %(by)s, %(reason)s, %(document)s)

-- name: transitions
SELECT transition_id, kind, at, told, by, reason, alert
FROM analytics.alert_transition WHERE alert_id = %(alert_id)s ORDER BY position DESC LIMIT %(limit)s

-- name: deliveries
SELECT receiver, event, state, attempts, reason, created_at, ended_at
FROM analytics.delivery WHERE alert_id = %(alert_id)s ORDER BY position DESC LIMIT %(limit)s

-- name: page
SELECT document, fired_at, resolved_at, coalesce(fired_at, opened_at) AS since
FROM analytics.alert
WHERE (%(accounts)s::text[] IS NULL OR account_id = ANY(%(accounts)s))
    AND (%(states)s::text[] IS NULL AND fired_at IS NOT NULL OR state = ANY(%(states)s))
    AND (%(rule)s::text IS NULL OR rule = %(rule)s)
    AND (%(subject_id)s::text IS NULL OR subject_id = %(subject_id)s)
    AND (coalesce(fired_at, opened_at), alert_id) < (%(before)s, %(before_id)s)
    AND (resolved_at IS NULL OR resolved_at >= %(since)s)
    AND (state <> 'dropped' OR opened_at >= %(since)s)
ORDER BY since DESC, alert_id DESC
LIMIT %(limit)s

-- name: put_event
INSERT INTO analytics.alert_outbox (event) VALUES (%(event)s)

-- name: take_events
SELECT position, event FROM analytics.alert_outbox WHERE published_at IS NULL ORDER BY position LIMIT %(limit)s FOR UPDATE

-- name: events_left
UPDATE analytics.alert_outbox SET published_at = clock_timestamp() WHERE position = ANY(%(positions)s)

-- name: outbox_turn
SELECT pg_try_advisory_xact_lock(hashtextextended('analytics/alert_outbox', 0)) AS mine,
    set_config('idle_in_transaction_session_timeout', '60s', true)

-- name: silences_in_force
SELECT * FROM analytics.silence WHERE ended_at IS NULL AND until > %(at)s

-- name: add_silence
INSERT INTO analytics.silence (silence_id, rule, subject_kind, subject_id, tag, account_id, until, by, reason, created_at)
VALUES (%(silence_id)s, %(rule)s, %(subject_kind)s, %(subject_id)s, %(tag)s, %(account_id)s, %(until)s, %(by)s, %(reason)s, %(created_at)s)

-- name: silence
SELECT * FROM analytics.silence WHERE silence_id = %(silence_id)s

-- name: end_silence
UPDATE analytics.silence SET ended_at = %(at)s, ended_by = %(by)s WHERE silence_id = %(silence_id)s AND ended_at IS NULL

-- name: silences
SELECT * FROM analytics.silence
WHERE (%(accounts)s::text[] IS NULL OR account_id = ANY(%(accounts)s))
    AND (%(every)s OR ended_at IS NULL AND until > now())
    AND (%(after)s::uuid IS NULL OR silence_id < %(after)s)
ORDER BY silence_id DESC LIMIT %(limit)s

-- name: add_freeze
INSERT INTO analytics.alert_freeze (freeze_id, alert_id, kind, target_id, state, locked, author, reason, asked_at, next_at)
VALUES (%(freeze_id)s, %(alert_id)s, %(kind)s, %(target_id)s, %(state)s, %(locked)s, %(author)s, %(reason)s, %(asked_at)s, %(asked_at)s)

-- name: freezes
SELECT freeze_id, alert_id, kind, target_id, state, locked, author, reason, asked_at, decided_by, decided_at, attempts, last_error, done_at
FROM analytics.alert_freeze WHERE alert_id = ANY(%(alert_ids)s) ORDER BY asked_at, freeze_id

-- name: decide_freezes
UPDATE analytics.alert_freeze
SET state = %(state)s, decided_by = %(by)s, decided_at = %(at)s, next_at = %(at)s
WHERE alert_id = %(alert_id)s AND state = 'asked'
RETURNING freeze_id, kind, target_id

-- name: freezes_in_vain
-- What nobody asks for any more: the alert is over, or its rule freezes nothing now. What a person approved stays.
SELECT wanted.freeze_id
FROM analytics.alert_freeze AS wanted JOIN analytics.alert USING (alert_id)
WHERE wanted.state = 'waiting' AND wanted.decided_by IS NULL
    AND (wanted.claimed_until IS NULL OR wanted.claimed_until < clock_timestamp())
    AND (alert.state NOT IN ('firing', 'acknowledged') OR alert.document -> 'last' ->> 'action' = 'none')

-- name: withdraw_freezes
UPDATE analytics.alert_freeze SET state = 'withdrawn', decided_at = %(at)s, claimed_until = NULL
WHERE freeze_id = ANY(%(freeze_ids)s) AND state = 'waiting' AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
RETURNING alert_id

-- name: claim_freezes
-- Those of silenced alerts wait for the silence to end, unless a person approved them or their rule is locked.
UPDATE analytics.alert_freeze
SET claimed_until = clock_timestamp() + %(lease)s, attempts = attempts + 1
WHERE freeze_id IN (
    SELECT wanted.freeze_id FROM analytics.alert_freeze AS wanted JOIN analytics.alert USING (alert_id)
    WHERE wanted.state = 'waiting' AND wanted.next_at <= clock_timestamp()
        AND (wanted.claimed_until IS NULL OR wanted.claimed_until < clock_timestamp())
        AND (wanted.locked OR wanted.decided_by IS NOT NULL OR alert.document ->> 'silenced_by' IS NULL)
    ORDER BY wanted.next_at LIMIT %(limit)s FOR UPDATE OF wanted SKIP LOCKED
)
RETURNING freeze_id, alert_id, kind, target_id, state, locked, author, reason, asked_at, decided_by, decided_at, attempts, last_error, done_at

-- name: end_freeze
UPDATE analytics.alert_freeze
SET state = %(state)s, done_at = %(at)s, last_error = %(error)s, claimed_until = NULL
WHERE freeze_id = %(freeze_id)s AND state = 'waiting'
RETURNING freeze_id

-- name: put_off_freeze
UPDATE analytics.alert_freeze
SET next_at = clock_timestamp() + %(pause)s, last_error = %(error)s, claimed_until = NULL
WHERE freeze_id = %(freeze_id)s AND state = 'waiting'

-- name: hear_meter
INSERT INTO analytics.alert_meter (meter, heard_at, sent_at, lag_s) VALUES (%(meter)s, clock_timestamp(), %(sent_at)s, %(lag_s)s)
ON CONFLICT (meter) DO UPDATE SET heard_at = excluded.heard_at, sent_at = excluded.sent_at, lag_s = excluded.lag_s

-- name: watch
-- How far behind is what the meter that was heard last says of itself; one that is silent says nothing any more.
SELECT clock_timestamp() AS at, last.heard_at, CASE WHEN last.heard_at > now() - interval '15 seconds' THEN last.lag_s END AS lag_s,
    (SELECT count(*) FROM analytics.alert_outbox WHERE published_at IS NULL) AS waiting
FROM (SELECT 1) AS one LEFT JOIN (SELECT heard_at, lag_s FROM analytics.alert_meter ORDER BY heard_at DESC LIMIT 1) AS last ON true

-- name: forget
SELECT * FROM analytics.forget(clock_timestamp() - %(messages)s::interval, clock_timestamp() - %(history)s::interval, %(most)s)

-- name: add_audit_entry
INSERT INTO analytics.audit_entry (
    id, actor, actor_name, action, entity_kind, entity_id, account_id, before, after, reason, request_id, client_ip
) VALUES (
    %(id)s, %(actor)s, %(actor_name)s, %(action)s, %(entity_kind)s, %(entity_id)s, %(account_id)s, %(before)s, %(after)s, %(reason)s,
    %(request_id)s, %(client_ip)s
)

-- name: audit_entries
SELECT id, at, actor, actor_name, action, entity_kind, entity_id, account_id, before, after, reason, request_id, client_ip
FROM analytics.audit_entry
WHERE (%(after)s::uuid IS NULL OR id < %(after)s) AND (%(entity_kind)s::text IS NULL OR entity_kind = %(entity_kind)s)
    AND (%(entity_id)s::text IS NULL OR entity_id = %(entity_id)s) AND (%(actor)s::text IS NULL OR actor = %(actor)s)
    AND (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
    AND (%(account_id)s::text IS NULL OR account_id = %(account_id)s)
    AND (%(accounts)s::text[] IS NULL OR account_id = ANY(%(accounts)s))
ORDER BY id DESC LIMIT %(limit)s
