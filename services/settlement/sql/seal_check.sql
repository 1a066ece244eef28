-- What I11 reads: everything that is sealed, and everything that should be.

-- name: plan_freely
-- The daily work never scans; a check of everything does.
select set_config('enable_seqscan', 'on', true), set_config('enable_hashjoin', 'on', true),
    set_config('enable_mergejoin', 'on', true), set_config('plan_cache_mode', 'auto', true);

-- name: entries
select seq, txn, account, price_book, salt, hash from seal where seq >= %(seq)s order by seq limit %(limit)s;

-- name: wrong_nodes
select u.level, u.number
from unnest(%(levels)s::smallint[], %(numbers)s::bigint[], %(hashes)s::text[]) as u (level, number, hash)
left join seal_node n on n.level = u.level and n.number = u.number
where n.hash is distinct from decode(u.hash, 'hex');

-- name: nodes
select count(*) from seal_node;

-- name: strays
-- What was committed is sealed or waits, and does not wait for long; what is there belongs to something that is sealed.
select 'is neither sealed nor waiting' as what, 'transaction ' || t.id as subject
from txn t left join seal s on s.txn = t.id left join seal_pending p on p.txn = t.id where s.txn is null and p.txn is null
union all
select 'is neither sealed nor waiting', 'account ' || k.id
from account k left join seal s on s.account = k.id left join seal_pending p on p.account = k.id
where s.account is null and p.account is null
union all
select 'is neither sealed nor waiting', 'price book ' || b.version
from price_book b left join seal s on s.price_book = b.version left join seal_pending p on p.price_book = b.version
where s.price_book is null and p.price_book is null
union all
select 'has waited for its seal too long', 'transaction ' || t.id
from seal_pending p join txn t on t.id = p.txn where t.committed_at < clock_timestamp() - %(patience_s)s * interval '1 second'
union all
select 'waits for its seal and is not there', coalesce('transaction ' || p.txn, 'account ' || p.account, 'price book ' || p.price_book)
from seal_pending p left join txn t on t.id = p.txn left join account k on k.id = p.account
    left join price_book b on b.version = p.price_book
where t.id is null and k.id is null and b.version is null
union all
select 'is sealed and waits again', coalesce('transaction ' || p.txn, 'account ' || p.account, 'price book ' || p.price_book)
from seal_pending p join seal s on s.txn = p.txn or s.account = p.account or s.price_book = p.price_book
union all
select 'has postings but is not there', 'transaction ' || p.txn
from posting p left join txn t on t.id = p.txn where t.id is null
union all
select 'moved a balance but is not there', 'transaction ' || m.txn
from balance_move m left join txn t on t.id = m.txn where t.id is null
union all
select 'has a receipt without its transaction', 'request ' || r.request_id
from receipt r left join txn t on t.id = r.txn and t.request_id = r.request_id where t.id is null
union all
select 'ended without a transaction', 'hold ' || h.id
from hold h left join txn t on t.idem_key = case h.state when 'EXPIRED' then 'expire:' || h.id else 'settle:' || h.request_id end
where h.state in ('CAPTURED', 'RELEASED', 'EXPIRED') and t.id is null;
