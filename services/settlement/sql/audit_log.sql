-- Who changed what, and the answers of changes that may be asked for twice.

-- name: write_entry
insert into audit_entry (id, actor, actor_name, action, entity_kind, entity_id, account_id, before, after, reason, request_id, client_ip)
values (%(id)s, %(actor)s, %(actor_name)s, %(action)s, %(entity_kind)s, %(entity_id)s, %(account_id)s, %(before)s, %(after)s, %(reason)s,
    %(request_id)s, %(client_ip)s);

-- name: entries
-- The newest first; ids grow with time.
select id, at, actor, actor_name, action, entity_kind, entity_id, account_id, before, after, reason, request_id, client_ip
from audit_entry
where (%(accounts)s::text[] is null or account_id = any(%(accounts)s::text[]))
    and (%(account_id)s::text is null or account_id = %(account_id)s)
    and (%(entity_kind)s::text is null or entity_kind = %(entity_kind)s)
    and (%(entity_id)s::text is null or entity_id = %(entity_id)s)
    and (%(actor)s::text is null or actor = %(actor)s)
    and (%(since)s::timestamptz is null or at >= %(since)s) and (%(until)s::timestamptz is null or at < %(until)s)
    and (%(after)s::uuid is null or id < %(after)s)
order by id desc limit %(limit)s;

-- name: lock_reply
-- The same key asked twice at once: the second waits for the first's answer.
select pg_advisory_xact_lock(hashtextextended(current_schema() || '/admin_reply/' || %(actor)s || '/' || %(path)s || '/' || %(key)s, 0));

-- name: stored_reply
select request_hash, status, reply from admin_reply
where actor = %(actor)s and path = %(path)s and idempotency_key = %(key)s;

-- name: store_reply
insert into admin_reply (actor, path, idempotency_key, request_hash, status, reply)
values (%(actor)s, %(path)s, %(key)s, %(request_hash)s, %(status)s, %(reply)s);
