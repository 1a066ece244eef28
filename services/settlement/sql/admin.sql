-- What operators do and ask, and what edge shows to customers.

-- name: txn_by_key
select id, request_hash, detail from txn where idem_key = %(idem_key)s;

-- name: lock_holder
-- Buckets and envelopes of one holder are opened one after the other: each looks whether there is the other.
select pg_advisory_xact_lock(hashtextextended(current_schema() || '/holder/' || %(holder)s, 0));

-- name: open_bucket
insert into bucket_balance (account, holder, bucket, currency, limited)
select %(account)s, %(holder)s, %(bucket)s, %(currency)s,
    exists (select from envelope where holder = %(holder)s and currency = %(currency)s)
on conflict do nothing;

-- name: open_cost_centre
insert into bucket_balance (account, holder, bucket, currency, limited, funding)
values (%(account)s, %(holder)s, %(bucket)s, %(currency)s, true, 'limit')
on conflict do nothing;

-- name: funding
select funding from bucket_balance where holder = %(holder)s and bucket = %(bucket)s and run = '';

-- name: limit_buckets
update bucket_balance set limited = true where holder = %(holder)s and currency = %(currency)s and not limited;

-- name: balances
-- What is earmarked lies in the reserves of runs; what a cost centre may still use is what its tightest limit leaves.
select b.bucket, b.currency, b.posted, b.held, b.overrun, b.funding,
    coalesce((
        select sum(r.posted) from bucket_balance r where r.holder = b.holder and r.bucket = b.bucket and r.run <> ''
    ), 0)::bigint,
    (
        select min(e.limit_nano - coalesce(w.held + w.spent, 0)) from envelope e
        left join envelope_window w on w.envelope = e.id and w.start_utc = case e.window_kind
            when 'day' then date_trunc('day', clock_timestamp(), 'UTC')
            when 'month' then date_trunc('month', clock_timestamp(), 'UTC') else 'epoch' end
        where e.holder = b.holder and e.kind = 'bucket' and e.entity = b.bucket and e.currency = b.currency
    )::bigint
from bucket_balance b where b.holder = %(holder)s and b.run = '' order by b.bucket;

-- name: bucket_account
select account from bucket_balance where holder = %(holder)s and bucket = %(bucket)s and run = '';

-- name: moves
-- Oldest first, one row per transaction that touched the bucket.
select m.seq, m.txn, t.kind, t.idem_key, t.request_id, t.committed_at, m.before_nano, m.after_nano, m.held_after_nano,
    coalesce((
        select json_agg(json_build_object('line', p.line, 'account', k.name, 'currency', p.currency, 'side', p.side,
            'amount_nano', p.amount) order by p.line)
        from posting p join account k on k.id = p.account where p.txn = m.txn
    ), '[]'::json) as lines
from balance_move m join txn t on t.id = m.txn
where m.account = %(account)s and m.seq > %(after)s
order by m.seq limit %(limit)s;

-- name: open_holds
select count(*) from hold
where state = 'HELD' and expires_at >= coalesce((select swept_until from sweep), '-infinity');

-- name: pending
select (select count(*) from outbox), (select count(*) from ingress);

-- name: limits
-- `after` is the number of the last limit of the page before.
select l.holder, l.kind, l.entity, l.currency, l.window_kind, l.limit_nano, l.version, l.changed_at,
    w.start_utc, coalesce(w.held, 0), coalesce(w.spent, 0), l.changed_by, l.id
from envelope l left join lateral (
    select * from envelope_window w where w.envelope = l.id order by w.start_utc desc limit 1
) w on true
where l.holder = %(holder)s and l.kind <> 'run' and (%(after)s::bigint is null or (l.kind, l.entity, l.currency, l.window_kind)
    > (select p.kind, p.entity, p.currency, p.window_kind from envelope p where p.id = %(after)s and p.holder = %(holder)s))
order by l.kind, l.entity, l.currency, l.window_kind limit %(limit)s::bigint;

-- name: lock_open_holds
-- Open holds of one envelope. Under the lock of their buckets nobody but a stream's sign of life can have them.
select h.id, h.amount_nano, h.windows from hold h
where h.state = 'HELD' and h.expires_at >= coalesce((select swept_until from sweep), '-infinity')
    and h.holder = %(holder)s and h.currency = %(currency)s and h.placed_at >= %(start)s
    and (%(kind)s = 'account' or (%(kind)s = 'project' and h.project_id = %(entity)s) or (%(kind)s = 'key' and h.key_id = %(entity)s)
        or (%(kind)s = 'bucket' and h.bucket = %(entity)s))
order by h.id for update;

-- name: lock_currency
select account from bucket_balance where holder = %(holder)s and currency = %(currency)s order by account for no key update;

-- name: last_moves
select k.account, coalesce((select max(m.seq) from balance_move m where m.account = k.account), 0)
from bucket_balance k where k.holder = %(holder)s and k.currency = %(currency)s;

-- name: spent_in_period
-- What the holds' ends charged, less what was refunded of them.
select
    coalesce(sum(case t.kind when 'refund' then -(t.detail ->> 'amount_nano')::bigint
        else h.captured_nano + coalesce(r.overrun_nano, 0) end), 0)::bigint,
    coalesce(sum(case t.kind when 'refund' then -(t.detail ->> 'beyond_hold_nano')::bigint
        else r.overrun_nano end), 0)::bigint
from balance_move m
join txn t on t.id = m.txn
join hold h on h.id = t.hold_id
left join receipt r on r.txn = t.id and r.request_id = t.request_id and r.charged_hold = h.id
where m.account = %(account)s and m.seq > %(after)s and m.seq <= %(until)s
    and h.placed_at >= %(start)s and h.currency = %(currency)s
    and (%(kind)s = 'account' or (%(kind)s = 'project' and h.project_id = %(entity)s) or (%(kind)s = 'key' and h.key_id = %(entity)s)
        or (%(kind)s = 'bucket' and h.bucket = %(entity)s));

-- name: set_limit
insert into envelope (holder, kind, entity, currency, window_kind, limit_nano, changed_by)
values (%(holder)s, %(kind)s, %(entity)s, %(currency)s, %(window)s, %(limit_nano)s, %(author)s)
on conflict (holder, kind, entity, currency, window_kind)
do update set limit_nano = excluded.limit_nano, version = envelope.version + 1, changed_at = clock_timestamp(),
    changed_by = excluded.changed_by
returning id, version;

-- name: open_window
insert into envelope_window (envelope, start_utc, held, spent, overrun)
values (%(envelope)s, %(start)s, %(held)s, %(spent)s, %(overrun)s) returning id;

-- name: stamp_holds
update hold set windows = windows || %(window)s::bigint where id = any(%(ids)s::uuid[]);

-- name: limit_exists
select id, limit_nano, version, changed_by from envelope
where holder = %(holder)s and kind = %(kind)s and entity = %(entity)s and currency = %(currency)s and window_kind = %(window)s;

-- name: receipt
select r.status, r.txn, r.charged_hold, r.charge_nano, r.overrun_nano, r.written_off_nano, r.completed, r.settled_at,
    m.before_nano, m.after_nano
from receipt r left join balance_move m on m.txn = r.txn
where r.request_id = %(request_id)s and r.holder = %(holder)s;

-- name: request_is_known
(select 1 from hold where request_id = %(request_id)s limit 1)
union all (select 1 from receipt where request_id = %(request_id)s limit 1);

-- name: request_holds
select id, project_id, key_id, bucket, currency, state, amount_nano, captured_nano, released_nano, price_version, output_cap,
    placed_at, ended_at, progress_input, progress_output, detail, refusal, run, reserved
from hold where request_id = %(request_id)s and holder = %(holder)s order by placed_at, id;

-- name: expiry_moves
select t.hold_id, m.before_nano, m.after_nano from txn t join balance_move m on m.txn = t.id
where t.idem_key = any(%(idem_keys)s::text[]);

-- name: request_cases
select kind, detail from "case" where request_id = %(request_id)s and holder = %(holder)s order by opened_at;
