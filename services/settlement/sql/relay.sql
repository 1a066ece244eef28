-- What leaves for Kafka, and holds whose time is over.

-- name: lock_turn
select pg_try_advisory_lock(hashtextextended(current_schema() || '/' || %(name)s, 0));

-- name: end_silent_turn
-- The session that has the lock, when it has asked nothing for so long: its process is frozen, or its machine is gone.
select a.pid, pg_terminate_backend(a.pid)
from (select hashtextextended(current_schema() || '/' || %(name)s, 0)) as k (key), pg_locks l, pg_stat_activity a
where l.locktype = 'advisory' and l.granted and l.objsubid = 1
    and l.database = (select oid from pg_database where datname = current_database())
    and l.classid::bigint = (k.key >> 32) & 4294967295 and l.objid::bigint = k.key & 4294967295
    and a.pid = l.pid and a.state <> 'active' and a.state_change < clock_timestamp() - %(silent_s)s * interval '1 second';

-- name: next_events
-- Unpublished rows, never "after the last id": a transaction may commit late with a lower one.
select o.id, o.topic, o.key, o.type, o.ref, o.payload, h.request_id, h.project_id, h.key_id, h.bucket, h.currency, h.amount_nano,
    h.price_version, h.output_cap, h.input_tokens_bound, h.placed_at, h.deadline_at, h.detail, h.refusal
from outbox o left join hold h on o.payload is null and h.id = o.ref
order by o.id limit %(limit)s;

-- name: events_published
with gone as (
    delete from outbox where id = any(%(ids)s::bigint[]) returning topic, type
)
insert into outbox_published as p (topic, type, published)
select topic, type, count(*) from gone group by topic, type
on conflict (topic, type) do update set published = p.published + excluded.published;

-- name: next_ingress
select id, topic, key, type, value from ingress order by id limit %(limit)s;

-- name: ingress_published
delete from ingress where id = any(%(ids)s::bigint[]);

-- name: overdue_holds
select id, holder from hold
where state = 'HELD' and expires_at >= coalesce((select swept_until from sweep), '-infinity')
    and expires_at < clock_timestamp() - %(grace_s)s * interval '1 second'
order by expires_at limit %(limit)s;

-- name: buckets_of_holds
select distinct account from hold where id = any(%(ids)s::uuid[]) and account is not null order by account;

-- name: lock_overdue
-- Leaves out what the worker has ended, what the stream has renewed, and accounts whose last word may still wait for Kafka.
select h.id, h.request_id, h.holder, h.project_id, h.key_id, h.bucket, h.currency, h.account, h.state, h.amount_nano, h.captured_nano,
    h.price_version, h.windows, h.run, h.reserved, h.progress_input, h.progress_output, h.detail
from hold h
where h.id = any(%(ids)s::uuid[]) and h.state = 'HELD' and h.expires_at < clock_timestamp() - %(grace_s)s * interval '1 second'
    and not exists (select from ingress i where i.key = h.holder)
order by h.id for update;

-- name: move_sweep
-- Some seconds behind the clock, so that no hold that commits late is ever passed.
insert into sweep (swept_until)
select coalesce(min(h.expires_at), clock_timestamp() - (%(grace_s)s + 20) * interval '1 second')
from hold h
where h.state = 'HELD' and h.expires_at >= coalesce((select swept_until from sweep), '-infinity')
    and h.expires_at < clock_timestamp() - (%(grace_s)s + 20) * interval '1 second'
on conflict (id) do update set swept_until = greatest(sweep.swept_until, excluded.swept_until);
