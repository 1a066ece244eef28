-- name: enqueue
INSERT INTO analytics.delivery (delivery_id, alert_id, transition_id, receiver, event, account_id, notice)
SELECT gen.delivery_id, %(alert_id)s, %(transition_id)s, gen.receiver, %(event)s, %(account_id)s, %(notice)s
FROM unnest(%(delivery_ids)s::uuid[], %(receivers)s::text[]) WITH ORDINALITY AS gen (delivery_id, receiver, number)
ORDER BY gen.number
ON CONFLICT (alert_id, transition_id, receiver) DO NOTHING

-- name: due
SELECT delivery.receiver, count(*) AS waiting, min(delivery.created_at) AS oldest,
       bool_or(delivery.next_at <= now() AND (delivery.claimed_until IS NULL OR delivery.claimed_until < now()))
           AND coalesce(bool_and(how.paused_until IS NULL OR how.paused_until <= now()), true) AS ready
FROM analytics.delivery
LEFT JOIN analytics.delivery_receiver AS how USING (receiver)
WHERE delivery.state = 'waiting'
GROUP BY delivery.receiver

-- name: know_receiver
INSERT INTO analytics.delivery_receiver (receiver) VALUES (%(receiver)s) ON CONFLICT (receiver) DO NOTHING

-- name: lock_receiver
SELECT recent, failures, paused_until, now() AS at
FROM analytics.delivery_receiver
WHERE receiver = %(receiver)s AND (paused_until IS NULL OR paused_until <= now())
FOR UPDATE SKIP LOCKED

-- name: waiting_rows
SELECT delivery_id, event, notice, attempts, created_at
FROM analytics.delivery
WHERE receiver = %(receiver)s
  AND state = 'waiting'
  AND next_at <= now()
  AND (claimed_until IS NULL OR claimed_until < now())
  AND NOT EXISTS (
      SELECT FROM analytics.delivery AS earlier
      WHERE earlier.receiver = delivery.receiver
        AND earlier.alert_id = delivery.alert_id
        AND earlier.position < delivery.position
        AND earlier.state = 'waiting'
  )
ORDER BY position
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: claim_rows
UPDATE analytics.delivery
SET claim = %(claim)s, message_id = %(claim)s, attempts = attempts + 1, claimed_until = now() + %(lease)s
WHERE delivery_id = ANY(%(delivery_ids)s)

-- name: take_turn
UPDATE analytics.delivery_receiver SET recent = %(recent)s WHERE receiver = %(receiver)s

-- name: pause_receiver
UPDATE analytics.delivery_receiver SET paused_until = %(paused_until)s WHERE receiver = %(receiver)s

-- name: end_rows
UPDATE analytics.delivery
SET state = %(state)s, status = %(status)s, reason = %(reason)s, ended_at = now(), claim = NULL, claimed_until = NULL
WHERE delivery_id = ANY(%(delivery_ids)s) AND state = 'waiting' AND claim IS NOT DISTINCT FROM %(claim)s::uuid

-- name: put_back
UPDATE analytics.delivery
SET status = %(status)s, reason = %(reason)s, next_at = now() + %(delay)s, claim = NULL, claimed_until = NULL
WHERE delivery_id = ANY(%(delivery_ids)s) AND state = 'waiting' AND claim = %(claim)s

-- name: receiver_works
UPDATE analytics.delivery_receiver
SET failures = 0, paused_until = NULL, reason = NULL, sent_at = now()
WHERE receiver = %(receiver)s

-- name: receiver_fails
UPDATE analytics.delivery_receiver
SET failures = failures + 1, paused_until = now() + %(delay)s, reason = %(reason)s
WHERE receiver = %(receiver)s

-- name: receiver_refuses
UPDATE analytics.delivery_receiver SET reason = %(reason)s WHERE receiver = %(receiver)s

-- name: end_orphans
UPDATE analytics.delivery
SET state = 'failed', reason = %(reason)s, ended_at = now(), claim = NULL, claimed_until = NULL
WHERE state = 'waiting' AND receiver <> ALL(%(known)s) AND created_at < now() - %(grace)s

-- name: deliveries
SELECT delivery_id, position, alert_id, transition_id, receiver, event, account_id, state, attempts, status, reason, message_id,
       created_at, ended_at, CASE WHEN state = 'waiting' THEN next_at END AS next_at
FROM analytics.delivery
WHERE (%(alert_id)s::text IS NULL OR alert_id = %(alert_id)s)
  AND (%(receiver)s::text IS NULL OR receiver = %(receiver)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(before)s::bigint IS NULL OR position < %(before)s)
ORDER BY position DESC
LIMIT %(limit)s

-- name: receivers
SELECT how.receiver, how.failures, how.paused_until, how.reason, how.sent_at
FROM analytics.delivery_receiver AS how

-- name: waiting_by_receiver
SELECT receiver, count(*) AS waiting, min(created_at) AS oldest
FROM analytics.delivery WHERE state = 'waiting' GROUP BY receiver

-- name: open_at_receiver
-- What it was told last of each alert whose end was not to be told to it yet.
SELECT DISTINCT ON (told.alert_id) told.delivery_id, told.notice, told.created_at
FROM analytics.delivery AS told
WHERE told.receiver = %(receiver)s AND told.state = 'sent' AND told.event <> 'resolved'
  AND (told.created_at > now() - %(since)s
       OR told.alert_id IN (SELECT alert_id::text FROM analytics.alert WHERE state IN ('firing', 'acknowledged')))
  AND NOT EXISTS (
      SELECT FROM analytics.delivery AS ended
      WHERE ended.receiver = told.receiver AND ended.alert_id = told.alert_id AND ended.position > told.position
        AND ended.event = 'resolved'
  )
ORDER BY told.alert_id, told.position DESC

-- name: who_hears
-- Who is told how an alert goes on: whoever was to be told that it fires, since it last was over.
SELECT DISTINCT receiver FROM analytics.delivery
WHERE alert_id = %(alert_id)s AND event = 'firing' AND position > coalesce(
    (SELECT max(position) FROM analytics.delivery WHERE alert_id = %(alert_id)s AND event = 'resolved'), 0)
