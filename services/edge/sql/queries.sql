-- name: find_key
SELECT k.key_id, k.name, k.environment, k.policy, k.project_id, p.account_id, k.secret_hmac, k.pepper_version, k.revoked,
       k.expires_at, k.allowed_ips, k.previous_hmac, k.previous_pepper_version, k.previous_expires_at,
       a.requests_per_minute AS account_requests, a.tokens_per_minute AS account_tokens,
       p.requests_per_minute AS project_requests, p.tokens_per_minute AS project_tokens,
       k.requests_per_minute AS key_requests, k.tokens_per_minute AS key_tokens,
       p.policy AS project_policy, a.policy AS account_policy,
       CASE WHEN a.frozen THEN 'account' WHEN p.frozen THEN 'project' WHEN k.frozen THEN 'key' END AS frozen,
       -- What a rule of alerts froze says which rule and why. A person's words are not for whoever has the key.
       CASE WHEN a.frozen OR p.frozen OR k.frozen THEN (
           SELECT CASE WHEN c.author LIKE 'alert:%%' THEN c.reason END FROM edge.change c
           WHERE c.what = 'frozen'
             AND c.kind = CASE WHEN a.frozen THEN 'account' WHEN p.frozen THEN 'project' ELSE 'key' END
             AND c.entity_id = CASE WHEN a.frozen THEN a.account_id WHEN p.frozen THEN p.project_id ELSE k.key_id END
           ORDER BY c.version DESC LIMIT 1
       ) END AS frozen_why
FROM edge.api_key k
JOIN edge.project p USING (project_id)
JOIN edge.account a USING (account_id)
WHERE k.key_id = %(key_id)s;

-- name: ping
SELECT 1;

-- name: insert_account
INSERT INTO edge.account (account_id, name, policy, requests_per_minute, tokens_per_minute)
VALUES (%(id)s, %(name)s, %(policy)s, %(requests_per_minute)s, %(tokens_per_minute)s);

-- name: get_account
SELECT account_id, name, policy, frozen, frozen_by_operator, version, created_at, updated_at, updated_by,
       requests_per_minute, tokens_per_minute
FROM edge.account WHERE account_id = %(id)s;

-- name: list_accounts
SELECT account_id, name, policy, frozen, frozen_by_operator, version, created_at, updated_at, updated_by,
       requests_per_minute, tokens_per_minute
FROM edge.account
WHERE account_id > %(after)s AND (%(accounts)s::text[] IS NULL OR account_id = ANY(%(accounts)s))
ORDER BY account_id LIMIT %(limit)s;

-- name: freeze_account
UPDATE edge.account SET frozen = %(frozen)s,
       frozen_by_operator = %(frozen)s AND (frozen_by_operator OR %(by_operator)s), version = version + 1, updated_at = now(), updated_by = %(author)s WHERE account_id = %(id)s
RETURNING account_id;

-- name: set_policy_of_account
UPDATE edge.account SET policy = %(policy)s, version = version + 1, updated_at = now(), updated_by = %(author)s WHERE account_id = %(id)s
RETURNING account_id;

-- name: insert_project
INSERT INTO edge.project (project_id, account_id, name, policy, requests_per_minute, tokens_per_minute)
VALUES (%(id)s, %(account_id)s, %(name)s, %(policy)s, %(requests_per_minute)s, %(tokens_per_minute)s);

-- name: get_project
SELECT p.project_id, p.account_id, p.name, p.policy, p.frozen, p.frozen_by_operator, p.version, p.created_at, p.updated_at, p.updated_by,
       p.requests_per_minute, p.tokens_per_minute, a.policy AS account_policy
FROM edge.project p JOIN edge.account a USING (account_id)
WHERE p.project_id = %(id)s;

-- name: list_projects
SELECT p.project_id, p.account_id, p.name, p.policy, p.frozen, p.frozen_by_operator, p.version, p.created_at, p.updated_at, p.updated_by,
       p.requests_per_minute, p.tokens_per_minute, a.policy AS account_policy
FROM edge.project p JOIN edge.account a USING (account_id)
WHERE p.project_id > %(after)s AND (%(parent)s::text IS NULL OR p.account_id = %(parent)s)
  AND (%(accounts)s::text[] IS NULL OR p.account_id = ANY(%(accounts)s))
ORDER BY p.project_id LIMIT %(limit)s;

-- name: freeze_project
UPDATE edge.project SET frozen = %(frozen)s,
       frozen_by_operator = %(frozen)s AND (frozen_by_operator OR %(by_operator)s), version = version + 1, updated_at = now(), updated_by = %(author)s WHERE project_id = %(id)s
RETURNING project_id;

-- name: set_policy_of_project
UPDATE edge.project SET policy = %(policy)s, version = version + 1, updated_at = now(), updated_by = %(author)s WHERE project_id = %(id)s
RETURNING project_id;

-- name: insert_key
INSERT INTO edge.api_key (key_id, project_id, name, environment, policy, secret_hmac, pepper_version, expires_at, allowed_ips,
                          requests_per_minute, tokens_per_minute)
VALUES (%(id)s, %(project_id)s, %(name)s, %(environment)s, %(policy)s, %(secret_hmac)s, %(pepper_version)s, %(expires_at)s,
        %(allowed_ips)s, %(requests_per_minute)s, %(tokens_per_minute)s);

-- name: get_key
SELECT k.key_id, k.project_id, p.account_id, k.name, k.environment, k.policy, k.frozen, k.frozen_by_operator, k.revoked, k.version, k.created_at, k.updated_at, k.updated_by,
       k.expires_at, k.allowed_ips, k.rotated_at, CASE WHEN k.previous_expires_at > now() THEN k.previous_expires_at END AS previous_expires_at,
       k.requests_per_minute, k.tokens_per_minute,
       p.policy AS project_policy, a.policy AS account_policy
FROM edge.api_key k JOIN edge.project p USING (project_id) JOIN edge.account a USING (account_id)
WHERE k.key_id = %(id)s;

-- name: list_keys
SELECT k.key_id, k.project_id, p.account_id, k.name, k.environment, k.policy, k.frozen, k.frozen_by_operator, k.revoked, k.version, k.created_at, k.updated_at, k.updated_by,
       k.expires_at, k.allowed_ips, k.rotated_at, CASE WHEN k.previous_expires_at > now() THEN k.previous_expires_at END AS previous_expires_at,
       k.requests_per_minute, k.tokens_per_minute,
       p.policy AS project_policy, a.policy AS account_policy
FROM edge.api_key k JOIN edge.project p USING (project_id) JOIN edge.account a USING (account_id)
WHERE k.key_id > %(after)s AND (%(parent)s::text IS NULL OR k.project_id = %(parent)s)
  AND (%(accounts)s::text[] IS NULL OR p.account_id = ANY(%(accounts)s))
ORDER BY k.key_id LIMIT %(limit)s;

-- name: freeze_key
UPDATE edge.api_key SET frozen = %(frozen)s,
       frozen_by_operator = %(frozen)s AND (frozen_by_operator OR %(by_operator)s), version = version + 1, updated_at = now(), updated_by = %(author)s WHERE key_id = %(id)s
RETURNING key_id;

-- name: set_policy_of_key
UPDATE edge.api_key SET policy = %(policy)s, version = version + 1, updated_at = now(), updated_by = %(author)s WHERE key_id = %(id)s
RETURNING key_id;

-- name: revoke_key
UPDATE edge.api_key SET revoked = true, version = version + 1, updated_at = now(), updated_by = %(author)s WHERE key_id = %(id)s
RETURNING key_id;

-- name: lock_account
SELECT name, requests_per_minute, tokens_per_minute FROM edge.account WHERE account_id = %(id)s FOR UPDATE;

-- name: change_account
UPDATE edge.account SET name = %(name)s, requests_per_minute = %(requests_per_minute)s, tokens_per_minute = %(tokens_per_minute)s,
       version = version + 1, updated_at = now(), updated_by = %(author)s WHERE account_id = %(id)s
RETURNING account_id;

-- name: lock_project
SELECT name, requests_per_minute, tokens_per_minute FROM edge.project WHERE project_id = %(id)s FOR UPDATE;

-- name: change_project
UPDATE edge.project SET name = %(name)s, requests_per_minute = %(requests_per_minute)s, tokens_per_minute = %(tokens_per_minute)s,
       version = version + 1, updated_at = now(), updated_by = %(author)s WHERE project_id = %(id)s
RETURNING project_id;

-- name: lock_key
SELECT name, environment, expires_at, allowed_ips, requests_per_minute, tokens_per_minute
FROM edge.api_key WHERE key_id = %(id)s FOR UPDATE;

-- name: change_key
UPDATE edge.api_key SET name = %(name)s, environment = %(environment)s, expires_at = %(expires_at)s, allowed_ips = %(allowed_ips)s,
       requests_per_minute = %(requests_per_minute)s, tokens_per_minute = %(tokens_per_minute)s,
       version = version + 1, updated_at = now(), updated_by = %(author)s WHERE key_id = %(id)s
RETURNING key_id;

-- name: rotate_key
-- What was the former secret until now opens no door any more. Without an overlap there is no former one.
UPDATE edge.api_key SET rotated_at = now(), secret_hmac = %(secret_hmac)s, pepper_version = %(pepper_version)s,
       previous_hmac = CASE WHEN %(overlaps)s THEN secret_hmac END,
       previous_pepper_version = CASE WHEN %(overlaps)s THEN pepper_version END,
       previous_expires_at = CASE WHEN %(overlaps)s THEN %(previous_expires_at)s::timestamptz END,
       version = version + 1, updated_at = now(), updated_by = %(author)s WHERE key_id = %(id)s
RETURNING key_id;

-- name: insert_change
INSERT INTO edge.change (kind, entity_id, version, what, author, reason, policy)
VALUES (%(kind)s, %(id)s, %(version)s, %(what)s, %(author)s, %(reason)s, %(policy)s);

-- name: list_changes
SELECT version, what, author, reason, policy, at FROM edge.change
WHERE kind = %(kind)s AND entity_id = %(id)s AND version > %(after)s
ORDER BY version LIMIT %(limit)s;

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
    claimed_at = now(), expires_at = excluded.expires_at, reply = NULL
WHERE claim.expires_at < now()
RETURNING request_id;

-- name: find_claim
SELECT request_hash, request_id, state, extract(epoch FROM now() - claimed_at)::float8 AS age_s, reply
FROM edge.claim WHERE key_id = %(key_id)s AND idempotency_key = %(idempotency_key)s;

-- name: finish_claim
UPDATE edge.claim SET state = 'done', reply = %(reply)s
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

-- name: insert_batch
INSERT INTO edge.batch (batch_id, account_id, project_id, key_id, event, completion_window, metadata, created_at, idempotency_key, request_hash)
VALUES (%(batch_id)s, %(account_id)s, %(project_id)s, %(key_id)s, %(event)s, %(completion_window)s, %(metadata)s, %(created_at)s,
        %(idempotency_key)s, %(request_hash)s)
ON CONFLICT (key_id, idempotency_key) DO NOTHING
RETURNING batch_id;

-- name: batch_of_idempotency_key
SELECT batch_id, project_id, event, completion_window, metadata, created_at, cancel_asked_at, request_hash
FROM edge.batch WHERE key_id = %(key_id)s AND idempotency_key = %(idempotency_key)s;

-- name: find_batch
SELECT batch_id, project_id, event, completion_window, metadata, created_at, cancel_asked_at
FROM edge.batch WHERE batch_id = %(batch_id)s AND project_id = %(project_id)s;

-- name: list_batches
-- Ids are ordered by time: the newest first.
SELECT batch_id, project_id, event, completion_window, metadata, created_at, cancel_asked_at
FROM edge.batch WHERE project_id = %(project_id)s AND (%(after)s::text IS NULL OR batch_id < %(after)s)
ORDER BY batch_id DESC LIMIT %(limit)s;

-- name: cancel_batch
UPDATE edge.batch SET cancel_asked_at = coalesce(cancel_asked_at, now()) WHERE batch_id = %(batch_id)s RETURNING batch_id;

-- name: batches_to_announce
SELECT batch_id, event FROM edge.batch WHERE announced_at IS NULL
ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED;

-- name: mark_announced
UPDATE edge.batch SET announced_at = now() WHERE batch_id = ANY(%(ids)s);

-- name: account_ids
SELECT account_id AS entity_id, version FROM edge.account WHERE account_id > %(after)s ORDER BY account_id LIMIT %(limit)s;

-- name: project_ids
SELECT project_id AS entity_id, version FROM edge.project WHERE project_id > %(after)s ORDER BY project_id LIMIT %(limit)s;

-- name: key_ids
SELECT key_id AS entity_id, version FROM edge.api_key WHERE key_id > %(after)s ORDER BY key_id LIMIT %(limit)s;

-- name: account_standings
-- What the control topic says of an entity: `reason` is why a rule of alerts froze it, a person's words are not for clients. Its row is locked, so that what is announced of it stays in the order of its versions.
SELECT account_id AS entity_id, account_id, NULL::text AS project_id, version, frozen, false AS revoked, updated_by AS author,
       CASE WHEN account.frozen THEN (
           SELECT CASE WHEN c.author LIKE 'alert:%%' THEN nullif(c.reason, '') END FROM edge.change c
           WHERE c.what = 'frozen' AND c.kind = 'account' AND c.entity_id = account.account_id ORDER BY c.version DESC LIMIT 1
       ) END AS reason
FROM edge.account WHERE account_id = ANY(%(ids)s) ORDER BY account_id FOR SHARE;

-- name: project_standings
SELECT project_id AS entity_id, account_id, NULL::text AS project_id, version, frozen, false AS revoked, updated_by AS author,
       CASE WHEN project.frozen THEN (
           SELECT CASE WHEN c.author LIKE 'alert:%%' THEN nullif(c.reason, '') END FROM edge.change c
           WHERE c.what = 'frozen' AND c.kind = 'project' AND c.entity_id = project.project_id ORDER BY c.version DESC LIMIT 1
       ) END AS reason
FROM edge.project WHERE project_id = ANY(%(ids)s) ORDER BY project_id FOR SHARE;

-- name: key_standings
SELECT k.key_id AS entity_id, p.account_id, k.project_id, k.version, k.frozen, k.revoked, k.updated_by AS author,
       CASE WHEN k.frozen THEN (
           SELECT CASE WHEN c.author LIKE 'alert:%%' THEN nullif(c.reason, '') END FROM edge.change c
           WHERE c.what = 'frozen' AND c.kind = 'key' AND c.entity_id = k.key_id ORDER BY c.version DESC LIMIT 1
       ) END AS reason
FROM edge.api_key k JOIN edge.project p USING (project_id) WHERE k.key_id = ANY(%(ids)s) ORDER BY k.key_id FOR SHARE OF k;
