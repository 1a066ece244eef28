-- name: lock_tables
-- One writer at a time: versions stay gapless and the same content posted twice at once makes one version. Not a lock of the
-- table: that would need the privilege to change rows that are written once.
SELECT pg_advisory_xact_lock(hashtextextended('router.route_table', 0))

-- name: latest
SELECT version, fingerprint FROM router.route_table ORDER BY version DESC LIMIT 1

-- name: insert_table
INSERT INTO router.route_table (version, document, fingerprint) VALUES (%(version)s, %(document)s, %(fingerprint)s)

-- name: insert_key
INSERT INTO router.channel_key (version, channel_id, position, origin, secret_env, nonce, sealed)
VALUES (%(version)s, %(channel_id)s, %(position)s, %(origin)s, %(secret_env)s, %(nonce)s, %(sealed)s)

-- name: load_table
SELECT version, document, created_at FROM router.route_table ORDER BY version DESC LIMIT 1

-- name: load_keys
SELECT channel_id, position, origin, secret_env, nonce, sealed FROM router.channel_key
WHERE version = %(version)s ORDER BY channel_id, position
