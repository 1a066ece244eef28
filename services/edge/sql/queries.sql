-- name: find_key
SELECT k.key_id, k.name, k.environment, k.policy, k.project_id, p.account_id, k.secret_hmac, k.pepper_version, k.revoked,
       CASE WHEN a.frozen THEN 'account' WHEN p.frozen THEN 'project' WHEN k.frozen THEN 'key' END AS frozen
FROM edge.api_key k
JOIN edge.project p USING (project_id)
JOIN edge.account a USING (account_id)
WHERE k.key_id = %(key_id)s;

-- name: ping
SELECT 1;

-- name: insert_account
INSERT INTO edge.account (account_id, name) VALUES (%(id)s, %(name)s)
RETURNING account_id, name, frozen, version, created_at;

-- name: get_account
SELECT account_id, name, frozen, version, created_at FROM edge.account WHERE account_id = %(id)s;

-- name: list_accounts
SELECT account_id, name, frozen, version, created_at FROM edge.account
WHERE account_id > %(after)s
ORDER BY account_id LIMIT %(limit)s;

-- name: freeze_account
UPDATE edge.account SET frozen = %(frozen)s, version = version + 1 WHERE account_id = %(id)s
RETURNING account_id, name, frozen, version, created_at;

-- name: insert_project
INSERT INTO edge.project (project_id, account_id, name) VALUES (%(id)s, %(account_id)s, %(name)s)
RETURNING project_id, account_id, name, frozen, version, created_at;

-- name: get_project
SELECT project_id, account_id, name, frozen, version, created_at FROM edge.project WHERE project_id = %(id)s;

-- name: list_projects
SELECT project_id, account_id, name, frozen, version, created_at FROM edge.project
WHERE project_id > %(after)s AND (%(parent)s::text IS NULL OR account_id = %(parent)s)
ORDER BY project_id LIMIT %(limit)s;

-- name: freeze_project
UPDATE edge.project SET frozen = %(frozen)s, version = version + 1 WHERE project_id = %(id)s
RETURNING project_id, account_id, name, frozen, version, created_at;

-- name: insert_key
INSERT INTO edge.api_key (key_id, project_id, name, environment, policy, secret_hmac, pepper_version)
VALUES (%(id)s, %(project_id)s, %(name)s, %(environment)s, %(policy)s, %(secret_hmac)s, %(pepper_version)s)
RETURNING key_id, project_id, name, environment, policy, frozen, revoked, version, created_at;

-- name: get_key
SELECT key_id, project_id, name, environment, policy, frozen, revoked, version, created_at
FROM edge.api_key WHERE key_id = %(id)s;

-- name: list_keys
SELECT key_id, project_id, name, environment, policy, frozen, revoked, version, created_at FROM edge.api_key
WHERE key_id > %(after)s AND (%(parent)s::text IS NULL OR project_id = %(parent)s)
ORDER BY key_id LIMIT %(limit)s;

-- name: freeze_key
UPDATE edge.api_key SET frozen = %(frozen)s, version = version + 1 WHERE key_id = %(id)s
RETURNING key_id, project_id, name, environment, policy, frozen, revoked, version, created_at;

-- name: revoke_key
UPDATE edge.api_key SET revoked = true, version = version + 1 WHERE key_id = %(id)s
RETURNING key_id, project_id, name, environment, policy, frozen, revoked, version, created_at;

-- name: lock_admin_reply
SELECT pg_advisory_xact_lock(hashtextextended(%(operation)s || ' ' || %(idempotency_key)s, 0));

-- name: find_admin_reply
SELECT request_hash, reply FROM edge.admin_reply
WHERE operation = %(operation)s AND idempotency_key = %(idempotency_key)s;

-- name: insert_admin_reply
INSERT INTO edge.admin_reply (operation, idempotency_key, request_hash, reply)
VALUES (%(operation)s, %(idempotency_key)s, %(request_hash)s, %(reply)s);

-- name: insert_control
INSERT INTO edge.control_outbox (record) VALUES (%(record)s);

-- name: try_relay_lock
SELECT pg_try_advisory_xact_lock(hashtextextended('edge.control_outbox', 0)) AS locked;

-- name: pending_control
SELECT id, record FROM edge.control_outbox ORDER BY id LIMIT %(limit)s;

-- name: delete_control
DELETE FROM edge.control_outbox WHERE id = ANY(%(ids)s);

-- name: claim
INSERT INTO edge.claim (key_id, idempotency_key, request_hash, request_id, state, expires_at)
VALUES (%(key_id)s, %(idempotency_key)s, %(request_hash)s, %(request_id)s, 'in_flight', now() + make_interval(secs => %(keep_s)s))
ON CONFLICT (key_id, idempotency_key) DO UPDATE
SET request_hash = excluded.request_hash, request_id = excluded.request_id, state = 'in_flight',
    claimed_at = now(), expires_at = excluded.expires_at
WHERE claim.expires_at < now()
RETURNING request_id;

-- name: find_claim
SELECT request_hash, request_id, state, extract(epoch FROM now() - claimed_at)::float8 AS age_s
FROM edge.claim WHERE key_id = %(key_id)s AND idempotency_key = %(idempotency_key)s;

-- name: finish_claim
UPDATE edge.claim SET state = 'done'
WHERE key_id = %(key_id)s AND idempotency_key = %(idempotency_key)s AND request_id = %(request_id)s;

-- name: release_claim
DELETE FROM edge.claim
WHERE key_id = %(key_id)s AND idempotency_key = %(idempotency_key)s AND request_id = %(request_id)s;

-- name: purge_claims
DELETE FROM edge.claim WHERE (key_id, idempotency_key) IN (
    SELECT key_id, idempotency_key FROM edge.claim WHERE expires_at < now() LIMIT 1000
);

-- name: purge_admin_replies
DELETE FROM edge.admin_reply WHERE (operation, idempotency_key) IN (
    SELECT operation, idempotency_key FROM edge.admin_reply WHERE created_at < now() - interval '1 day' LIMIT 1000
);
