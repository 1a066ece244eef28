-- name: take_in
INSERT INTO router.batch (batch_id, account_id, event, status, reached, expires_at)
VALUES (%(batch_id)s, %(account_id)s, %(event)s, 'validating', jsonb_build_object('validating', %(now)s::bigint), %(expires_at)s)
ON CONFLICT (batch_id) DO NOTHING

-- name: lease
-- The batch that waits longest, to one worker at a time. A new lease is a new epoch.
UPDATE router.batch b SET worker = %(worker)s, epoch = b.epoch + 1, leased_until = now() + make_interval(secs => %(lease_s)s), running = 0
WHERE b.batch_id = (
    SELECT c.batch_id FROM router.batch c
    WHERE c.status IN ('validating', 'in_progress', 'finalizing', 'cancelling') AND (c.leased_until IS NULL OR c.leased_until < now())
    ORDER BY c.leased_until NULLS FIRST, c.taken_in_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING b.batch_id, b.event, b.status, b.stopped, b.total, b.epoch, b.output_file_id, b.error_file_id

-- name: renew
UPDATE router.batch b SET leased_until = now() + make_interval(secs => %(lease_s)s), running = %(running)s
WHERE b.batch_id = %(batch_id)s AND b.epoch = %(epoch)s
RETURNING EXISTS (SELECT FROM router.batch_cancellation c WHERE c.batch_id = b.batch_id) AS cancelled

-- name: release
UPDATE router.batch SET leased_until = NULL, worker = NULL, running = 0 WHERE batch_id = %(batch_id)s AND epoch = %(epoch)s

-- name: move
UPDATE router.batch SET status = %(status)s, stopped = coalesce(%(stopped)s, stopped), total = coalesce(%(total)s, total),
    errors = coalesce(%(errors)s, errors), reached = reached || jsonb_build_object(%(status)s::text, %(now)s::bigint),
    output_file_id = coalesce(%(output_file_id)s, output_file_id), error_file_id = coalesce(%(error_file_id)s, error_file_id)
WHERE batch_id = %(batch_id)s AND epoch = %(epoch)s
RETURNING batch_id

-- name: end_lines
INSERT INTO router.batch_line (batch_id, line, repeat, request_id, outcome, code)
SELECT %(batch_id)s, u.* FROM unnest(
    %(lines)s::integer[], %(repeats)s::integer[], %(request_ids)s::uuid[], %(outcomes)s::text[], %(codes)s::text[]
) AS u
ON CONFLICT DO NOTHING

-- name: lines
SELECT line, repeat, request_id, outcome, code FROM router.batch_line WHERE batch_id = %(batch_id)s ORDER BY line, repeat

-- name: ask_to_cancel
INSERT INTO router.batch_cancellation (batch_id) VALUES (%(batch_id)s) ON CONFLICT DO NOTHING

-- name: progress
SELECT b.batch_id, b.status, b.total, b.errors, b.reached, b.output_file_id, b.error_file_id,
    count(l.*) FILTER (WHERE l.outcome = 'completed') AS completed, count(l.*) FILTER (WHERE l.outcome <> 'completed') AS failed
FROM router.batch b LEFT JOIN LATERAL (
    SELECT DISTINCT ON (line) outcome FROM router.batch_line WHERE batch_id = b.batch_id ORDER BY line, repeat DESC
) l ON true
WHERE b.batch_id = ANY(%(ids)s)
GROUP BY b.batch_id

-- name: under_way
SELECT b.batch_id, b.account_id, b.status, b.worker, b.epoch, b.leased_until, b.running, b.total, b.expires_at, b.taken_in_at,
    (SELECT count(DISTINCT line) FROM router.batch_line l WHERE l.batch_id = b.batch_id) AS ended
FROM router.batch b
WHERE b.status IN ('validating', 'in_progress', 'finalizing', 'cancelling')
ORDER BY b.taken_in_at LIMIT %(limit)s
