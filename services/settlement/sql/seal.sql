-- The sealer's transaction, and what proofs and checks read. Rows of an entry come as JSON arrays, in the order of
-- `schemas/sealing.py`; times are microseconds since 1970, and JSON and other long texts count by their SHA-256.

-- name: pending
-- What waits, never "after the last id": a transaction may commit late with a lower one.
select id, txn, account, price_book from seal_pending order by id limit %(limit)s;

-- name: sealed_already
-- Only tampering puts something twice into the queue; it is sealed once all the same.
select p.id from seal_pending p
where p.id = any(%(ids)s::bigint[]) and (
    exists (select from seal s where s.txn = p.txn) or exists (select from seal s where s.account = p.account)
    or exists (select from seal s where s.price_book = p.price_book));

-- name: no_longer_pending
delete from seal_pending where id = any(%(ids)s::bigint[]);

-- name: last_seal
select seq, hash from seal order by seq desc limit 1;

-- name: last_checkpoint
select size, note from seal_checkpoint order by size desc limit 1;

-- name: checkpoints_after
select size, note from seal_checkpoint where size > %(size)s order by size limit %(limit)s;

-- name: leaf_hashes
-- Of each range of entries, in order.
select r.i, s.hash from unnest(%(starts)s::bigint[], %(ends)s::bigint[]) with ordinality as r (first, past, i)
join seal s on s.seq >= r.first and s.seq < r.past order by r.i, s.seq;

-- name: node_hashes
-- Of each range of nodes of one level, in order.
select r.i, n.hash from unnest(%(levels)s::smallint[], %(starts)s::bigint[], %(ends)s::bigint[]) with ordinality
    as r (level, first, past, i)
join seal_node n on n.level = r.level and n.number >= r.first and n.number < r.past order by r.i, n.number;

-- name: write_seals
insert into seal (seq, txn, account, price_book, salt, hash)
select u.seq, u.txn, u.account, u.price_book, decode(u.salt, 'hex'), decode(u.hash, 'hex')
from unnest(%(seqs)s::bigint[], %(txns)s::uuid[], %(accounts)s::bigint[], %(books)s::integer[], %(salts)s::text[],
    %(hashes)s::text[]) as u (seq, txn, account, price_book, salt, hash);

-- name: write_nodes
insert into seal_node (level, number, hash)
select u.level, u.number, decode(u.hash, 'hex')
from unnest(%(levels)s::smallint[], %(numbers)s::bigint[], %(hashes)s::text[]) as u (level, number, hash);

-- name: write_checkpoint
insert into seal_checkpoint (size, note) values (%(size)s, %(note)s);

-- name: request_entries
-- The transactions of one request, in the order in which they were sealed; those that wait come last.
with its as (
    select t.id from txn t where t.idem_key = any(%(idem_keys)s::text[])
    union all
    select t.id from txn t where t.kind = 'refund' and t.hold_id = any(%(holds)s::uuid[])
)
select i.id, s.seq, s.salt, s.hash, p.hash
from its i left join seal s on s.txn = i.id left join seal p on p.seq = s.seq - 1 order by s.seq, i.id;

-- name: txns
-- A transaction with all that was committed with it. The holds that a settlement ended are those of its request that did not
-- expire: it is the only one of its request, and none of them ends later.
select t.id, json_build_array(
    json_build_array(t.id, t.kind, t.idem_key, encode(t.request_hash, 'hex'), t.price_version, t.holder, t.request_id, t.hold_id,
        encode(sha256(convert_to(t.detail::text, 'UTF8')), 'hex'), trunc(extract(epoch from t.committed_at) * 1000000)),
    (
        select json_agg(json_build_array(p.line, p.account, k.name, p.currency, p.side, p.amount) order by p.line)
        from posting p left join account k on k.id = p.account where p.txn = t.id
    ),
    (
        select json_agg(json_build_array(m.account, m.seq, m.before_nano, m.after_nano, m.held_after_nano) order by m.account)
        from balance_move m where m.txn = t.id
    ),
    (
        select json_agg(json_build_array(h.id, h.request_id, h.holder, h.project_id, h.key_id, h.bucket, h.currency, h.account,
            k.name, h.state, h.amount_nano, h.captured_nano, h.released_nano, h.price_version, h.output_cap,
            h.input_tokens_bound, h.progress_input, h.progress_output, h.windows::text, h.run, h.reserved::text,
            trunc(extract(epoch from h.placed_at) * 1000000), trunc(extract(epoch from h.deadline_at) * 1000000),
            trunc(extract(epoch from h.expires_at) * 1000000), trunc(extract(epoch from h.ended_at) * 1000000),
            encode(sha256(convert_to(h.detail::text, 'UTF8')), 'hex')) order by h.id)
        from hold h left join account k on k.id = h.account
        where h.request_id = t.request_id and case
            when t.kind in ('capture', 'release', 'late_usage') then h.state in ('CAPTURED', 'RELEASED')
            when t.kind = 'expire' then h.state = 'EXPIRED' and h.id = t.hold_id
            else false end
    ),
    (
        select json_build_array(r.request_id, r.holder, r.status, r.charged_hold, r.charge_nano, r.overrun_nano,
            r.written_off_nano, encode(sha256(convert_to(r.completed, 'UTF8')), 'hex'),
            trunc(extract(epoch from r.settled_at) * 1000000))
        from receipt r where r.request_id = t.request_id and r.txn = t.id
    )
)::text
from txn t where t.id = any(%(ids)s::uuid[]);

-- name: accounts
select id, json_build_array(id, name, kind, currency, normal_side, holder, bucket)::text
from account where id = any(%(ids)s::bigint[]);

-- name: price_books
-- Books of before their author was recorded have four fields, as they were sealed.
select version, case when author is null and effective_from is null
    then json_build_array(version, sha256, encode(sha256(convert_to(document::text, 'UTF8')), 'hex'),
        trunc(extract(epoch from published_at) * 1000000))
    else json_build_array(version, sha256, encode(sha256(convert_to(document::text, 'UTF8')), 'hex'),
        trunc(extract(epoch from published_at) * 1000000), trunc(extract(epoch from effective_from) * 1000000), author)
    end::text
from price_book where version = any(%(ids)s::integer[]);
