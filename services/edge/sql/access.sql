-- Users, roles, access tokens, and the record of every change.

-- name: account_of_account
SELECT account_id FROM edge.account WHERE account_id = %(id)s;

-- name: account_of_project
SELECT account_id FROM edge.project WHERE project_id = %(id)s;

-- name: account_of_key
SELECT p.account_id FROM edge.api_key k JOIN edge.project p USING (project_id) WHERE k.key_id = %(id)s;

-- name: lock_row_of_account
-- Before a change, so that the audit log's `before` is what the change met.
SELECT account_id FROM edge.account WHERE account_id = %(id)s FOR NO KEY UPDATE;

-- name: lock_row_of_project
SELECT project_id FROM edge.project WHERE project_id = %(id)s FOR NO KEY UPDATE;

-- name: lock_row_of_key
SELECT key_id FROM edge.api_key WHERE key_id = %(id)s FOR NO KEY UPDATE;

-- name: find_access_token
-- Only of a token that counts: not revoked, not expired, of an active user.
SELECT t.token_id, t.user_id, u.name, t.secret_hmac, t.pepper_version, t.expires_at,
       t.last_used_on IS DISTINCT FROM (now() AT TIME ZONE 'UTC')::date AS unused_today,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('role', g.role, 'account_id', g.account_id) ORDER BY g.grant_id), '[]')
        FROM edge.role_grant g WHERE g.user_id = t.user_id) AS grants
FROM edge.access_token t JOIN edge.admin_user u USING (user_id)
WHERE t.token_id = %(token_id)s AND t.revoked_at IS NULL AND u.active AND (t.expires_at IS NULL OR t.expires_at > now());

-- name: mark_token_used
UPDATE edge.access_token SET last_used_on = (now() AT TIME ZONE 'UTC')::date WHERE token_id = %(token_id)s;

-- name: insert_audit_entry
INSERT INTO edge.audit_entry (id, actor, actor_name, action, entity_kind, entity_id, account_id, before, after, reason, request_id, client_ip)
VALUES (%(id)s, %(actor)s, %(actor_name)s, %(action)s, %(entity_kind)s, %(entity_id)s, %(account_id)s, %(before)s, %(after)s,
        %(reason)s, %(request_id)s, %(client_ip)s);

-- name: list_audit_entries
-- Ids are ordered by time: the newest first.
SELECT id, at, actor, actor_name, action, entity_kind, entity_id, account_id, before, after, reason, request_id, client_ip
FROM edge.audit_entry
WHERE (%(after)s::uuid IS NULL OR id < %(after)s) AND (%(accounts)s::text[] IS NULL OR account_id = ANY(%(accounts)s))
  AND (%(account_id)s::text IS NULL OR account_id = %(account_id)s) AND (%(actor)s::text IS NULL OR actor = %(actor)s)
  AND (%(entity_kind)s::text IS NULL OR entity_kind = %(entity_kind)s) AND (%(entity_id)s::text IS NULL OR entity_id = %(entity_id)s)
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
ORDER BY id DESC LIMIT %(limit)s;

-- name: insert_user
INSERT INTO edge.admin_user (user_id, name) VALUES (%(user_id)s, %(name)s);

-- name: lock_user
SELECT user_id, name, active, deactivated_by_operator FROM edge.admin_user WHERE user_id = %(user_id)s FOR NO KEY UPDATE;

-- name: change_user
UPDATE edge.admin_user SET name = %(name)s, active = %(active)s, deactivated_by_operator = %(deactivated_by_operator)s, updated_at = now() WHERE user_id = %(user_id)s;

-- name: get_user
-- The roles of these accounts alone, where they are given.
SELECT u.user_id, u.name, u.active, u.deactivated_by_operator, u.created_at, u.updated_at,
       (SELECT coalesce(jsonb_agg(to_jsonb(g) ORDER BY g.grant_id), '[]') FROM edge.role_grant g
        WHERE g.user_id = u.user_id AND (%(accounts)s::text[] IS NULL OR g.account_id = ANY(%(accounts)s))) AS grants
FROM edge.admin_user u WHERE u.user_id = %(user_id)s;

-- name: list_users
SELECT u.user_id, u.name, u.active, u.deactivated_by_operator, u.created_at, u.updated_at,
       (SELECT coalesce(jsonb_agg(to_jsonb(g) ORDER BY g.grant_id), '[]') FROM edge.role_grant g
        WHERE g.user_id = u.user_id AND (%(accounts)s::text[] IS NULL OR g.account_id = ANY(%(accounts)s))) AS grants
FROM edge.admin_user u
WHERE u.user_id > %(after)s
  AND (%(accounts)s::text[] IS NULL OR EXISTS (SELECT FROM edge.role_grant g WHERE g.user_id = u.user_id AND g.account_id = ANY(%(accounts)s)))
  AND (%(account_id)s::text IS NULL OR EXISTS (SELECT FROM edge.role_grant g WHERE g.user_id = u.user_id AND g.account_id = %(account_id)s))
ORDER BY u.user_id LIMIT %(limit)s;

-- name: give_role
-- One that the user has already stays as it is.
INSERT INTO edge.role_grant (grant_id, user_id, role, account_id, given_by)
VALUES (%(grant_id)s, %(user_id)s, %(role)s, %(account_id)s, %(given_by)s)
ON CONFLICT (user_id, role, coalesce(account_id, '')) DO NOTHING
RETURNING grant_id, user_id, role, account_id, given_by, given_at;

-- name: find_role
SELECT grant_id, user_id, role, account_id, given_by, given_at FROM edge.role_grant
WHERE user_id = %(user_id)s AND role = %(role)s AND account_id IS NOT DISTINCT FROM %(account_id)s;

-- name: get_grant
SELECT grant_id, user_id, role, account_id, given_by, given_at FROM edge.role_grant WHERE grant_id = %(grant_id)s;

-- name: list_grants
SELECT grant_id, user_id, role, account_id, given_by, given_at FROM edge.role_grant
WHERE grant_id > %(after)s AND (%(accounts)s::text[] IS NULL OR account_id = ANY(%(accounts)s))
  AND (%(account_id)s::text IS NULL OR account_id = %(account_id)s) AND (%(user_id)s::text IS NULL OR user_id = %(user_id)s)
ORDER BY grant_id LIMIT %(limit)s;

-- name: take_role
DELETE FROM edge.role_grant WHERE grant_id = %(grant_id)s RETURNING grant_id;

-- name: other_owners
SELECT count(*) AS left_over FROM edge.role_grant g JOIN edge.admin_user u USING (user_id)
WHERE g.account_id = %(account_id)s AND g.role = 'owner' AND u.active AND u.user_id <> %(user_id)s;

-- name: insert_access_token
INSERT INTO edge.access_token (token_id, user_id, name, secret_hmac, pepper_version, created_by, expires_at, vouched_for)
VALUES (%(token_id)s, %(user_id)s, %(name)s, %(secret_hmac)s, %(pepper_version)s, %(created_by)s, %(expires_at)s, %(vouched_for)s)
RETURNING token_id, user_id, name, created_by, created_at, expires_at, revoked_at, last_used_on;

-- name: standing_of_token
SELECT vouched_for FROM edge.access_token WHERE token_id = %(token_id)s AND revoked_at IS NULL;

-- name: end_unvouched_tokens
-- Those whose makers could not have given the role that the user is given now (account_id null: one of the installation).
UPDATE edge.access_token SET revoked_at = now()
WHERE user_id = %(user_id)s AND revoked_at IS NULL AND NOT coalesce(%(account_id)s, '*') = ANY(vouched_for) AND NOT '*' = ANY(vouched_for)
RETURNING token_id, revoked_at;

-- name: list_access_tokens
-- Those alone that `made_by` made, where it is given: `created_by` begins with the id.
SELECT token_id, user_id, name, created_by, created_at, expires_at, revoked_at, last_used_on FROM edge.access_token
WHERE user_id = %(user_id)s AND token_id > %(after)s
  AND (%(made_by)s::text IS NULL OR split_part(created_by, ' ', 1) = %(made_by)s)
ORDER BY token_id LIMIT %(limit)s;

-- name: revoke_access_token
-- Revoking again changes nothing: `was_revoked_at` tells.
WITH held AS (SELECT token_id, revoked_at FROM edge.access_token WHERE token_id = %(token_id)s AND user_id = %(user_id)s FOR NO KEY UPDATE)
UPDATE edge.access_token t SET revoked_at = coalesce(t.revoked_at, now()) FROM held WHERE t.token_id = held.token_id
RETURNING t.token_id, t.user_id, t.name, t.created_by, t.created_at, t.expires_at, t.revoked_at, t.last_used_on, held.revoked_at AS was_revoked_at;
