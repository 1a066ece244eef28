-- Promotional credit: how far a bucket's moves were folded into its lots, and the lots.

-- name: open_credit
insert into credit (account, holder, seq, posted)
select k.account, k.holder, coalesce((select max(m.seq) from balance_move m where m.account = k.account), 0), k.posted
from bucket_balance k where k.account = %(account)s
on conflict do nothing;

-- name: credit
select seq, posted, has_lots from credit where account = %(account)s;

-- name: lock_credit
select seq, posted, has_lots from credit where account = %(account)s for update;

-- name: skip_moves
-- Without any lot nothing that happened matters to them: the fold goes on from today.
update credit c
set seq = coalesce((select max(m.seq) from balance_move m where m.account = c.account), 0),
    posted = (select k.posted from bucket_balance k where k.account = c.account)
where c.account = %(account)s and not c.has_lots
returning seq, posted;

-- name: reserved_by_runs
-- What runs that are not closed were given so far.
select b.run, b.budget_nano
from bucket_balance k join run r on r.holder = k.holder and r.state <> 'CLOSED' and r.reserve
join run_budget b on b.run = r.id and b.bucket = k.bucket
where k.account = %(account)s and b.budget_nano > 0;

-- name: lots
select id, expires_at, left_nano, expired_nano, granted_nano from credit_lot where account = %(account)s and is_open order by expires_at, id;

-- name: earmarks
select run, lot, amount_nano from credit_earmark where account = %(account)s;

-- name: moves_after
-- What a hold's end spends must have been valid when the hold was placed; anything else when it was committed.
select m.seq, m.txn, t.kind, m.before_nano, m.after_nano, coalesce(h.placed_at, t.committed_at) as credit_at,
    coalesce(t.detail ->> 'run_id', '') as run, (t.detail ->> 'promotion_id')::uuid as promotion,
    (t.detail ->> 'expires_at')::timestamptz as expires_at
from balance_move m join txn t on t.id = m.txn left join hold h on h.id = t.hold_id and t.kind in ('capture', 'expire')
where m.account = %(account)s and m.seq > %(after)s order by m.seq limit %(limit)s;

-- name: open_holds_of_bucket
select placed_at, amount_nano from hold
where state = 'HELD' and expires_at >= coalesce((select swept_until from sweep), '-infinity') and account = %(account)s
    and amount_nano > 0;

-- name: save_credit
update credit set seq = %(seq)s, posted = %(posted)s, has_lots = %(has_lots)s where account = %(account)s;

-- name: save_lots
insert into credit_lot as l (id, account, expires_at, granted_nano, left_nano, expired_nano, is_open)
select u.id, %(account)s, u.expires_at, u.granted, u.left_nano, u.expired, u.is_open
from unnest(%(ids)s::uuid[], %(expiries)s::timestamptz[], %(granted)s::bigint[], %(left)s::bigint[], %(expired)s::bigint[],
    %(open)s::boolean[]) as u (id, expires_at, granted, left_nano, expired, is_open)
on conflict (id) do update set left_nano = excluded.left_nano, expired_nano = l.expired_nano + excluded.expired_nano,
    is_open = excluded.is_open;

-- name: drop_earmarks
delete from credit_earmark where account = %(account)s;

-- name: add_earmarks
insert into credit_earmark (account, run, lot, amount_nano)
select %(account)s, * from unnest(%(runs)s::text[], %(lots)s::uuid[], %(amounts)s::bigint[]);

-- name: due_credit
-- A lot that a run's earmark has whole is looked at again when something has happened to its bucket.
select distinct l.account from credit_lot l join credit c on c.account = l.account
where l.is_open and l.expires_at <= %(now)s and l.account > %(after)s
    and (l.left_nano > 0 or exists (select from balance_move m where m.account = c.account and m.seq > c.seq))
order by l.account limit %(limit)s;

-- name: stale_credit
select c.account from credit c
where c.has_lots and c.account > %(after)s and exists (select from balance_move m where m.account = c.account and m.seq > c.seq)
order by c.account limit %(limit)s;

-- name: bucket
select holder, bucket, currency from bucket_balance where account = %(account)s;

-- name: credit_of_holder
select k.account, k.bucket from credit c join bucket_balance k on k.account = c.account
where c.holder = %(holder)s and c.has_lots order by k.bucket;
