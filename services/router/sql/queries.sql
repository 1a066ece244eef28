-- name: lock_tables
-- One writer at a time: versions stay gapless and the same content posted twice at once makes one version. Not a lock of the
-- table: that would need the privilege to change rows that are written once.
SELECT pg_advisory_xact_lock(hashtextextended('router.route_table', 0))

-- name: latest
SELECT version, fingerprint FROM router.route_table ORDER BY version DESC LIMIT 1

-- name: insert_table
INSERT INTO router.route_table (version, document, fingerprint) VALUES (%(version)s, %(document)s, %(fingerprint)s)

-- name: insert_key
INSERT INTO router.channel_key (version, channel_id, position, origin, secret_env, nonce, sealed, form, key_id)
VALUES (
    %(version)s, %(channel_id)s, %(position)s, %(origin)s, %(secret_env)s, %(nonce)s, %(sealed)s, %(form)s, %(key_id)s
)

-- name: load_table
SELECT version, document, created_at FROM router.route_table ORDER BY version DESC LIMIT 1

-- name: load_keys
SELECT channel_id, position, origin, secret_env, nonce, sealed, form, key_id FROM router.channel_key
WHERE version = %(version)s ORDER BY channel_id, position

-- name: load_version
SELECT version, document, fingerprint FROM router.route_table WHERE version > %(after)s ORDER BY version LIMIT 1

-- name: reseal_key
UPDATE router.channel_key SET nonce = %(nonce)s, sealed = %(sealed)s, form = %(form)s, key_id = %(key_id)s
WHERE version = %(version)s AND channel_id = %(channel_id)s AND position = %(position)s

-- name: refresh_fingerprint
UPDATE router.route_table SET fingerprint = %(fingerprint)s WHERE version = %(version)s

-- name: count_sealed
SELECT key_id, count(*)::int AS secrets FROM router.channel_key WHERE sealed IS NOT NULL GROUP BY key_id ORDER BY key_id NULLS FIRST
