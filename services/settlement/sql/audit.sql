-- Audits of the whole ledger, as the API keeps them.

-- name: start_audit
insert into audit (id, kind, state, author, asked) values (%(id)s, %(kind)s, 'running', %(author)s, %(asked)s);

-- name: bury_dead_audits
-- One whose process is gone (it holds the lock while it lives) will never end by itself.
update audit set state = 'failed', ended_at = clock_timestamp(), error = 'its process is gone: start it again'
where state = 'running' and started_at < clock_timestamp() - %(grace_s)s * interval '1 second' and not exists (
    select from pg_locks l
    where l.locktype = 'advisory' and l.database = (select oid from pg_database where datname = current_database())
        and ((l.classid::bigint << 32) | l.objid::bigint) = hashtextextended(current_schema() || '/audit/' || audit.id, 0)
);

-- name: lock_audit
select pg_try_advisory_lock(hashtextextended(current_schema() || '/audit/' || %(id)s, 0));

-- name: audit
select id, kind, state, author, asked, progress, result, error, started_at, ended_at from audit where id = %(id)s;

-- name: audits
select id, kind, state, author, asked, progress, error, started_at, ended_at from audit
where %(after)s::uuid is null or (started_at, id) < (select p.started_at, p.id from audit p where p.id = %(after)s)
order by started_at desc, id desc limit %(limit)s;

-- name: running_audit
select id from audit where state = 'running';

-- name: tell_progress
update audit set progress = %(progress)s where id = %(id)s and state = 'running';

-- name: end_audit
update audit set state = %(state)s, result = %(result)s, error = %(error)s, ended_at = clock_timestamp()
where id = %(id)s and state = 'running';
