-- name: lock_tables
-- One writer at a time: versions stay gapless and the same content posted twice at once makes one version.
LOCK TABLE router.route_table IN SHARE ROW EXCLUSIVE MODE

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
