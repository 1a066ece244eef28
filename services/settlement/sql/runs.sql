-- Runs: opened, extended, closed, read.

-- name: run_facts
select id, holder, project_id, key_id, reserve from run where id = any(%(ids)s::text[]);

-- name: lock_pots
-- The customer's buckets, and the run's reserves where it has any, in the order of everybody who locks more than one.
select account, posted, held, overrun, funding = 'limit', bucket, run from bucket_balance
where holder = %(holder)s and bucket = any(%(buckets)s::text[]) and run in ('', %(run)s) order by account for no key update;

-- name: limits_around
-- What each limit around a run leaves of its present window.
select l.kind, l.entity, l.currency, l.window_kind, l.limit_nano - coalesce(w.held + w.spent, 0)
from envelope l left join envelope_window w on w.envelope = l.id and w.start_utc = case l.window_kind
    when 'day' then date_trunc('day', clock_timestamp(), 'UTC')
    when 'month' then date_trunc('month', clock_timestamp(), 'UTC') else 'epoch' end
where l.holder = %(holder)s and l.limit_nano is not null and (
    l.kind in ('account', 'bucket') or (l.kind = 'project' and l.entity = %(project)s)
    or (l.kind = 'key' and l.entity = %(key)s))
order by l.id;

-- name: add_run
insert into run (id, holder, project_id, key_id, reserve, state, deadline_at, opened_at, detail, warnings)
values (%(run)s, %(holder)s, %(project)s, %(key)s, %(reserve)s, 'OPEN', %(deadline)s, %(now)s, %(detail)s::json, %(warnings)s::json);

-- name: add_budgets
insert into run_budget as b (run, bucket, currency, budget_nano)
select %(run)s, * from unnest(%(buckets)s::text[], %(currencies)s::text[], %(amounts)s::bigint[])
on conflict (run, bucket) do update set budget_nano = b.budget_nano + excluded.budget_nano;

-- name: budgets
select bucket, currency, budget_nano from run_budget where run = %(run)s order by bucket;

-- name: add_change
insert into run_change (run, kind, at, detail) values (%(run)s, %(kind)s, clock_timestamp(), %(detail)s::json);

-- name: open_reserve
insert into bucket_balance (account, holder, bucket, currency, limited, run)
values (%(account)s, %(holder)s, %(bucket)s, %(currency)s,
    exists (select from envelope where holder = %(holder)s and currency = %(currency)s), %(run)s)
on conflict do nothing;

-- name: add_run_limits
insert into envelope as e (holder, kind, entity, currency, window_kind, limit_nano)
select %(holder)s, 'run', %(run)s || '/' || u.bucket, u.currency, 'run', u.amount
from unnest(%(buckets)s::text[], %(currencies)s::text[], %(amounts)s::bigint[]) as u (bucket, currency, amount)
on conflict (holder, kind, entity, currency, window_kind)
do update set limit_nano = e.limit_nano + excluded.limit_nano, version = e.version + 1, changed_at = clock_timestamp();

-- name: lock_open_holds_of_run
-- Those of one bucket: a limit that the run gets later counts them too. Under the lock of their bucket, which is taken before.
select id, amount_nano from hold
where holder = %(holder)s and run = %(run)s and run <> '' and bucket = %(bucket)s and state = 'HELD' order by id for update;

-- name: spent_in_run
-- What the run's holds in one bucket have charged, less what was refunded of them.
select coalesce(sum(h.captured_nano + coalesce(r.overrun_nano, 0) - coalesce(f.amount, 0)), 0)::bigint,
    coalesce(sum(coalesce(r.overrun_nano, 0) - coalesce(f.beyond, 0)), 0)::bigint
from hold h left join receipt r on r.request_id = h.request_id and r.charged_hold = h.id and r.status = 'settled'
left join lateral (
    select sum((t.detail ->> 'amount_nano')::bigint) as amount, sum((t.detail ->> 'beyond_hold_nano')::bigint) as beyond
    from txn t where t.kind = 'refund' and t.hold_id = h.id
) f on true
where h.holder = %(holder)s and h.run = %(run)s and h.run <> '' and h.bucket = %(bucket)s and h.state in ('CAPTURED', 'EXPIRED');

-- name: lock_run
select id, holder, project_id, key_id, reserve, state, deadline_at, opened_at, closing_at, closed_at, close_reason, detail, warnings
from run where id = %(run)s and holder = %(holder)s for update;

-- name: set_deadline
update run set deadline_at = %(deadline)s where id = %(run)s;

-- name: begin_closing
update run set state = 'CLOSING', closing_at = clock_timestamp(), close_reason = %(reason)s where id = %(run)s and state = 'OPEN';

-- name: end_run
update run set state = 'CLOSED', closed_at = clock_timestamp() where id = %(run)s;

-- name: set_returned
update run_budget b set returned_nano = u.returned
from unnest(%(buckets)s::text[], %(returned)s::bigint[]) as u (bucket, returned) where b.run = %(run)s and b.bucket = u.bucket;

-- name: open_holds_of_run
select count(*) from hold where holder = %(holder)s and run = %(run)s and run <> '' and state = 'HELD';

-- name: runs_to_close
select id, holder, state from run
where state <> 'CLOSED' and (state = 'CLOSING' or deadline_at < clock_timestamp())
order by deadline_at limit %(limit)s;

-- name: run
select id, holder, project_id, key_id, reserve, state, deadline_at, opened_at, closing_at, closed_at, close_reason, detail, warnings
from run where id = %(run)s and holder = %(holder)s;

-- name: runs
select id, holder, project_id, key_id, reserve, state, deadline_at, opened_at, closing_at, closed_at, close_reason, detail, warnings
from run where holder = %(holder)s and (%(key)s::text is null or key_id = %(key)s) and (%(state)s::text is null or state = %(state)s)
    and (%(after)s::text is null or (opened_at, id) < (select a.opened_at, a.id from run a where a.id = %(after)s))
order by opened_at desc, id desc limit %(limit)s;

-- name: run_sums
-- Per run and bucket: the budget, and what its holds took, wherever they took it.
select b.run, b.bucket, b.currency, b.budget_nano, b.returned_nano,
    coalesce(s.held, 0)::bigint, coalesce(s.spent, 0)::bigint, coalesce(s.overrun, 0)::bigint, k.posted - k.held
from run_budget b left join bucket_balance k on k.holder = %(holder)s and k.bucket = b.bucket and k.run = b.run left join lateral (
    select sum(h.amount_nano) filter (where h.state = 'HELD') as held,
        sum(h.captured_nano) + coalesce(sum(r.overrun_nano), 0) as spent, sum(r.overrun_nano) as overrun
    from hold h left join receipt r on r.request_id = h.request_id and r.charged_hold = h.id and r.status = 'settled'
    where h.holder = %(holder)s and h.run = b.run and h.run <> '' and h.bucket = b.bucket
) s on true
where b.run = any(%(runs)s::text[]) order by b.run, b.bucket;

-- name: run_holds
select id, request_id, bucket, currency, state, amount_nano, captured_nano, placed_at, ended_at, price_version, detail, refusal, key_id
from hold where holder = %(holder)s and run = %(run)s and run <> '' order by placed_at, id;

-- name: run_receipts
select r.request_id, r.status, r.charged_hold, r.charge_nano, r.overrun_nano, r.written_off_nano, r.completed, r.settled_at
from receipt r where r.request_id = any(%(requests)s::uuid[]) and r.holder = %(holder)s;

-- name: run_changes
select kind, at, detail from run_change where run = %(run)s order by id;
