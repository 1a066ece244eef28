-- The ledger's invariants. Each block returns the rows that violate one; none means that it holds.

-- name: I1
select txn, currency, sum(case side when 'debit' then amount else -amount end) as difference
from posting group by txn, currency having sum(case side when 'debit' then amount else -amount end) <> 0;

-- name: I2
-- A bucket is what its postings add up to, its moves are one chain that ends in what is posted, and no more of it is promotional.
with folded as (
    select account, sum(case side when 'credit' then amount else -amount end) as posted from posting group by account
), chain as (
    select account, seq, before_nano, after_nano, lag(after_nano, 1, 0) over w as previous,
        row_number() over (partition by account order by seq desc) as from_end
    from balance_move window w as (partition by account order by seq)
)
select b.holder, b.bucket, 'postings' as of, b.posted, coalesce(f.posted, 0) as folded
from bucket_balance b left join folded f on f.account = b.account
where b.posted <> coalesce(f.posted, 0)
union all
select b.holder, b.bucket, 'chain', c.before_nano, c.previous
from chain c join bucket_balance b on b.account = c.account where c.before_nano <> c.previous
union all
select b.holder, b.bucket, 'last move', b.posted, coalesce(c.after_nano, 0)
from bucket_balance b left join chain c on c.account = b.account and c.from_end = 1
where b.posted <> coalesce(c.after_nano, 0)
union all
select b.holder, b.bucket, 'promotional credit', m.after_nano, l.left_nano
from credit c join bucket_balance b on b.account = c.account
join balance_move m on m.account = c.account and m.seq = c.seq
cross join lateral (select coalesce(sum(left_nano), 0) as left_nano from credit_lot where account = c.account and is_open) l
where c.posted <> m.after_nano or l.left_nano > m.after_nano;

-- name: I3
with open as (
    select account, sum(amount_nano) as held from hold where state = 'HELD' and account is not null group by account
), stamped as (
    select w as id, sum(amount_nano) as held from hold, unnest(windows) as w where state = 'HELD' group by w
)
select 'bucket ' || b.account as of, b.held, coalesce(o.held, 0) as open
from bucket_balance b left join open o on o.account = b.account where b.held <> coalesce(o.held, 0)
union all
select 'window ' || w.id, w.held, coalesce(s.held, 0)
from envelope_window w left join stamped s on s.id = w.id where w.held <> coalesce(s.held, 0);

-- name: I4
select holder, bucket, run, posted, held from bucket_balance where held < 0 or (funding = 'prepaid' and posted - held < 0);

-- name: I5
select e.holder, e.kind, e.entity, e.window_kind, w.start_utc, w.held, w.spent, w.overrun, w.limit_at_last_hold
from envelope_window w join envelope e on e.id = w.envelope
where w.held + w.spent - w.overrun > w.limit_at_last_hold;

-- name: I6
select h.id, h.state, count(t.id) as ends
from hold h left join txn t on t.hold_id = h.id and t.kind in ('capture', 'expire')
group by h.id, h.state
having count(t.id) <> case when h.state in ('CAPTURED', 'EXPIRED') then 1 else 0 end;

-- name: I7
-- Captured + released = held; what a hold was charged is what its transaction took from the bucket, or came on top of it.
select h.id, h.state, h.amount_nano, h.captured_nano, h.released_nano, r.charge_nano, r.overrun_nano
from hold h left join receipt r on r.charged_hold = h.id and r.status = 'settled'
where h.captured_nano + h.released_nano <> case when h.state in ('HELD', 'REFUSED') then 0 else h.amount_nano end
    or (h.state = 'CAPTURED' and (r.request_id is null or h.captured_nano + r.overrun_nano <> r.charge_nano));

-- name: I8
select h.id, h.state, h.expires_at from hold h
where (h.state = 'HELD' and h.expires_at < clock_timestamp() - %(patience_s)s * interval '1 second')
    or (h.state = 'EXPIRED' and not exists (select from "case" c where c.hold_id = h.id and c.kind = 'expired_hold'));

-- name: I9
-- Every fact has its event, published or waiting.
with facts (type, facts) as (
    select case state when 'REFUSED' then 'HoldRefused' else 'HoldPlaced' end, count(*) from hold group by 1
    union all select initcap(state), count(*) from hold where state in ('CAPTURED', 'RELEASED', 'EXPIRED') group by 1
    union all select 'LateUsage', count(*) from txn where kind = 'late_usage'
    union all select 'ToppedUp', count(*) from txn where kind = 'topup'
    union all select 'Refunded', count(*) from txn where kind = 'refund'
    union all select 'Adjusted', count(*) from txn where kind = 'adjustment'
    union all select 'ChargedBack', count(*) from txn where kind = 'chargeback'
    union all select 'ChargebackReinstated', count(*) from txn where kind = 'reinstatement'
    union all select 'PromotionGranted', count(*) from txn where kind = 'promotion'
    union all select 'CreditExpired', count(*) from txn where kind = 'credit_expiry'
    union all select 'PriceBookPublished', count(*) from price_book
    union all select 'LimitChanged', coalesce(sum(version), 0) from envelope where kind <> 'run'
    union all select 'RunOpened', count(*) from txn where kind = 'run_open'
    union all select 'RunExtended', count(*) from txn where kind = 'run_extend'
    union all select 'RunClosed', count(*) from txn where kind = 'run_close'
    union all select 'CaseOpened', count(*) from "case"
    union all select 'CaseClosed', count(*) from "case" where closed_at is not null
    union all select 'DeadLetter', count(*) from dead_letter
    union all select 'CheckpointPublished', count(*) from seal_checkpoint
), sent (type, sent) as (
    select type, sum(n) from (
        select type, published as n from outbox_published union all select type, count(*) from outbox group by type
    ) as s where type <> 'ControlRecord' group by type
)
select type, coalesce(facts, 0) as facts, coalesce(sent, 0) as published_or_pending
from facts full join sent using (type) where coalesce(facts, 0) <> coalesce(sent, 0);

-- name: I10
select 'offset' as of, topic, partition, next, first + consumed as counted from consumer_offset where next <> first + consumed
union all
select 'inbox beyond offset', i.topic, i.partition, max(i."offset"), coalesce(max(c.next), 0)
from inbox i left join consumer_offset c using (topic, partition)
group by i.topic, i.partition having max(i."offset") >= coalesce(max(c.next), 0)
union all
select 'offset used twice', topic, partition, "offset", count(*) from inbox group by topic, partition, "offset" having count(*) > 1;

-- name: I13
-- By the postings alone: of no hold more was refunded than its end charged, and only to buckets of the name that paid; of no payment
-- more was taken back than was paid, and of no promotion more expired than was given.
with moved as (
    select t.hold_id, t.kind, sum(p.amount) as nano
    from txn t join posting p on p.txn = t.id join account k on k.id = p.account and k.kind = 'revenue'
    where t.hold_id is not null and (
        (t.kind in ('capture', 'expire') and p.side = 'credit') or (t.kind = 'refund' and p.side = 'debit'))
    group by t.hold_id, t.kind
), astray as (
    select t.hold_id
    from txn t join posting p on p.txn = t.id and p.side = 'credit' join account k on k.id = p.account
    join hold h on h.id = t.hold_id
    where t.kind = 'refund' and k.kind in ('customer_bucket', 'run_reserve')
        and (k.holder, k.bucket, k.currency) is distinct from (h.holder, h.bucket, h.currency)
)
select 'refund of ' || hold_id as of, coalesce(sum(nano) filter (where kind <> 'refund'), 0) as had,
    sum(nano) filter (where kind = 'refund') as given
from moved group by hold_id
having sum(nano) filter (where kind = 'refund') > coalesce(sum(nano) filter (where kind <> 'refund'), 0)
union all
select 'refund to another bucket of ' || hold_id, null, null from astray
union all
select 'payment ' || t.idem_key, (t.detail ->> 'amount_nano')::bigint, sum(d.amount_nano - d.reinstated_nano)
from dispute d join txn t on t.id = d.payment group by t.idem_key, t.detail ->> 'amount_nano'
having sum(d.amount_nano - d.reinstated_nano) > (t.detail ->> 'amount_nano')::bigint
union all
select 'promotion ' || (t.detail ->> 'promotion_id'), max(l.granted_nano), sum(p.amount)
from txn t join posting p on p.txn = t.id and p.side = 'debit' join credit_lot l on l.id = (t.detail ->> 'promotion_id')::uuid
where t.kind = 'credit_expiry' group by t.detail ->> 'promotion_id'
having sum(p.amount) <> max(l.expired_nano) or sum(p.amount) > max(l.granted_nano);
