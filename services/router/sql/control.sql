-- name: state
-- What every instance looks at each second beside the decisions on channels: the table in force, and whether an announcement waits.
SELECT (SELECT coalesce(max(version), 0) FROM router.route_table)::bigint AS table_version,
    EXISTS (SELECT FROM router.control_outbox) AS to_announce

-- name: freezes
SELECT channel_id, frozen, version, author, reason, changed_at FROM router.channel_freeze ORDER BY channel_id

-- name: freeze_of
SELECT channel_id, frozen, version, author, reason, changed_at FROM router.channel_freeze WHERE channel_id = %(channel_id)s

-- name: lock_channel
-- One decision on a channel at a time, also on the first, whose row there is none of yet.
SELECT pg_advisory_xact_lock(hashtextextended('router.channel_freeze/' || %(channel_id)s, 0))

-- name: set_freeze
INSERT INTO router.channel_freeze AS f (channel_id, frozen, version, author, reason)
VALUES (%(channel_id)s, %(frozen)s, 1, %(author)s, %(reason)s)
ON CONFLICT (channel_id) DO UPDATE
SET frozen = excluded.frozen, version = f.version + 1, author = excluded.author, reason = excluded.reason, changed_at = now()
RETURNING channel_id, frozen, version, author, reason, changed_at

-- name: insert_control
INSERT INTO router.control_outbox (record) VALUES (%(record)s)

-- name: lock_relay
SELECT pg_advisory_xact_lock(hashtextextended('router.control_outbox', 0))

-- name: pending_control
SELECT id, record FROM router.control_outbox ORDER BY id LIMIT %(limit)s

-- name: delete_control
DELETE FROM router.control_outbox WHERE id = ANY(%(ids)s)

-- name: insert_audit
INSERT INTO router.audit_entry (id, actor, actor_name, action, entity_kind, entity_id, before, after, reason, request_id, client_ip)
VALUES (
    %(id)s, %(actor)s, %(actor_name)s, %(action)s, %(entity_kind)s, %(entity_id)s, %(before)s, %(after)s, %(reason)s,
    %(request_id)s, %(client_ip)s
)

-- name: list_audit
SELECT id, at, actor, actor_name, action, entity_kind, entity_id, account_id, before, after, reason, request_id, client_ip
FROM router.audit_entry
WHERE (%(after)s::uuid IS NULL OR id < %(after)s) AND (%(entity_kind)s::text IS NULL OR entity_kind = %(entity_kind)s)
    AND (%(entity_id)s::text IS NULL OR entity_id = %(entity_id)s) AND (%(actor)s::text IS NULL OR actor = %(actor)s)
    AND (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
    AND (%(account_id)s::text IS NULL OR account_id = %(account_id)s)
ORDER BY id DESC LIMIT %(limit)s

-- name: list_tables
SELECT version, created_at, jsonb_array_length(document -> 'channels') AS channels, jsonb_array_length(document -> 'models') AS models
FROM router.route_table WHERE %(after)s::bigint IS NULL OR version < %(after)s ORDER BY version DESC LIMIT %(limit)s

-- name: table_version
SELECT version, created_at, document FROM router.route_table WHERE version = %(version)s
