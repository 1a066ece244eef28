-- Statements and histories. Read in one snapshot.

-- name: statement_buckets
select account, bucket, currency from bucket_balance
where holder = %(holder)s and run = '' and (%(bucket)s::text is null or bucket = %(bucket)s) order by bucket;

-- name: allow_time
select set_config('statement_timeout', %(timeout_ms)s, true);

-- name: highest_move
select coalesce(max(seq), 0) from balance_move where account = %(account)s;

-- name: move_at
select m.seq, t.committed_at from balance_move m join txn t on t.id = m.txn
where m.account = %(account)s and m.seq >= %(seq)s order by m.seq limit 1;

-- name: balance_at
-- What the chain says: the balance before the doubtful moves around an instant, and those of them that lie before it.
select (
    coalesce((select after_nano from balance_move where account = %(account)s and seq <= %(sure)s order by seq desc limit 1), 0)
    + coalesce((
        select sum(m.after_nano - m.before_nano) from balance_move m join txn t on t.id = m.txn
        where m.account = %(account)s and m.seq > %(sure)s and m.seq <= %(doubtful)s and t.committed_at < %(instant)s
    ), 0)
)::bigint;

-- name: charges
-- A key's name is that of its latest hold.
select c.*, h.detail ->> 'key_name' as key_name from (
select (t.committed_at at time zone 'UTC')::date as day, t.kind, t.detail ->> 'project_id' as project_id,
    t.detail ->> 'key_id' as key_id, t.detail ->> 'model' as model, t.detail ->> 'route_type' as route_type,
    count(*)::integer as requests, coalesce(sum(p.paid), 0)::bigint as paid, sum((t.detail ->> 'charge_nano')::bigint)::bigint as charged,
    max(t.hold_id::text)::uuid as hold_id
from balance_move m join txn t on t.id = m.txn
cross join lateral (
    select sum(case side when 'debit' then amount else -amount end) as paid from posting where txn = m.txn and account = m.account
) p
where m.account = %(account)s and m.seq > %(first)s and m.seq <= %(last)s and t.kind in ('capture', 'expire')
    and t.committed_at >= %(start)s and t.committed_at < %(end)s
group by 1, 2, 3, 4, 5, 6 order by 1, 3, 4, 5, 6 limit %(limit)s
) c left join hold h on h.id = c.hold_id order by c.day, c.project_id, c.key_id, c.model, c.route_type;

-- name: other_movements
-- With a run's whole budget where its reserve ended: what of it did not come back was spent.
select t.committed_at as at, t.kind, t.idem_key, t.detail, coalesce(p.credit, 0)::bigint as credit, coalesce(p.debit, 0)::bigint as debit,
    case when t.kind = 'run_close' then (
        select g.budget_nano from run_budget g join bucket_balance b on b.bucket = g.bucket
        where g.run = t.detail ->> 'run_id' and b.account = m.account
    ) end as budget_nano
from balance_move m join txn t on t.id = m.txn
cross join lateral (
    select sum(amount) filter (where side = 'credit') as credit, sum(amount) filter (where side = 'debit') as debit
    from posting where txn = m.txn and account = m.account
) p
where m.account = %(account)s and m.seq > %(first)s and m.seq <= %(last)s and t.kind not in ('capture', 'expire')
    and t.committed_at >= %(start)s and t.committed_at < %(end)s
order by m.seq limit %(limit)s;

-- name: charges_in_runs
-- What the reserves of the bucket's runs paid.
select c.*, h.detail ->> 'key_name' as key_name from (
select (t.committed_at at time zone 'UTC')::date as day, t.kind, b.run, t.detail ->> 'project_id' as project_id,
    t.detail ->> 'key_id' as key_id, t.detail ->> 'model' as model, t.detail ->> 'route_type' as route_type,
    count(*)::integer as requests, coalesce(sum(p.paid), 0)::bigint as paid, sum((t.detail ->> 'charge_nano')::bigint)::bigint as charged,
    max(t.hold_id::text)::uuid as hold_id
from run r join bucket_balance b on b.holder = r.holder and b.bucket = %(bucket)s and b.run = r.id
join balance_move m on m.account = b.account join txn t on t.id = m.txn
cross join lateral (
    select sum(case side when 'debit' then amount else -amount end) as paid from posting where txn = m.txn and account = m.account
) p
where r.holder = %(holder)s and r.opened_at < %(end)s and (r.closed_at is null or r.closed_at >= %(start)s)
    and t.kind in ('capture', 'expire') and t.committed_at >= %(start)s and t.committed_at < %(end)s
group by 1, 2, 3, 4, 5, 6, 7 order by 1, 3, 4, 5, 6, 7 limit %(limit)s
) c left join hold h on h.id = c.hold_id order by c.day, c.run, c.project_id, c.key_id, c.model, c.route_type;
