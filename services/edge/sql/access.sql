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
