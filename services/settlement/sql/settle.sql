-- The settlement transaction, statement by statement. Every array has one element per row to write.

-- name: known_events
select event_id, payload_hash from inbox where event_id = any(%(ids)s::uuid[]);

-- name: settled_requests
select request_id from receipt where request_id = any(%(ids)s::uuid[]);

-- name: known_dead_letters
select partition, "offset" from dead_letter where topic = %(topic)s and "offset" = any(%(places)s::bigint[]);

-- name: known_cases
select id from "case" where id = any(%(ids)s::uuid[]);

-- name: holds
select id, request_id, holder, project_id, key_id, bucket, currency, account, state, amount_nano, captured_nano, price_version,
    windows, run, reserved
from hold where id = any(%(ids)s::uuid[]);

-- name: open_accounts
insert into account (name, kind, currency, normal_side, holder, bucket)
select * from unnest(%(names)s::text[], %(kinds)s::text[], %(currencies)s::text[], %(sides)s::text[], %(holders)s::text[],
    %(buckets)s::text[])
on conflict (name) do nothing;

-- name: account_ids
select name, id from account where name = any(%(names)s::text[]);

-- name: advance_offsets
update consumer_offset c
set next = u.next, consumed = c.consumed + u.next - u.first, settled = greatest(c.settled, u.settled),
    lease_until = clock_timestamp() + %(lease_s)s * interval '1 second'
from unnest(%(partitions)s::integer[], %(firsts)s::bigint[], %(nexts)s::bigint[], %(settled)s::bigint[])
    as u (partition, first, next, settled)
where c.topic = %(topic)s and c.partition = u.partition and c.next = u.first and c.lease = %(lease)s;

-- name: remember_events
insert into inbox (event_id, payload_hash, topic, partition, "offset")
select u.id, decode(u.hash, 'hex'), %(topic)s, u.partition, u."offset"
from unnest(%(ids)s::uuid[], %(hashes)s::text[], %(partitions)s::integer[], %(offsets)s::bigint[])
    as u (id, hash, partition, "offset");

-- name: end_holds
-- The compare-and-set of a hold's one end. A hold that was stamped with one more window meanwhile must be read again.
update hold h
set state = u.state, captured_nano = u.captured, released_nano = h.amount_nano - u.captured, ended_at = clock_timestamp()
from unnest(%(ids)s::uuid[], %(states)s::text[], %(captured)s::bigint[], %(windows)s::integer[]) as u (id, state, captured, windows)
where h.id = u.id and h.state = 'HELD' and cardinality(h.windows) = u.windows;

-- name: write_txns
insert into txn (id, kind, idem_key, request_hash, price_version, holder, request_id, hold_id, detail)
select u.id, u.kind, u.idem_key, decode(u.hash, 'hex'), u.price_version, u.holder, u.request_id, u.hold_id, u.detail::json
from unnest(%(ids)s::uuid[], %(kinds)s::text[], %(idem_keys)s::text[], %(hashes)s::text[], %(price_versions)s::integer[],
    %(holders)s::text[], %(request_ids)s::uuid[], %(hold_ids)s::uuid[], %(details)s::text[])
    as u (id, kind, idem_key, hash, price_version, holder, request_id, hold_id, detail);

-- name: write_postings
insert into posting (txn, line, account, currency, side, amount)
select * from unnest(%(txns)s::uuid[], %(lines)s::smallint[], %(accounts)s::bigint[], %(currencies)s::text[], %(sides)s::text[],
    %(amounts)s::bigint[]);

-- name: write_receipts
-- The events lie end to end in one value: `starts` (from 1) and `sizes` say where.
insert into receipt (request_id, holder, status, txn, charged_hold, charge_nano, overrun_nano, written_off_nano, completed)
select u.request_id, u.holder, u.status, u.txn, u.hold, u.charge, u.overrun, u.written_off,
    convert_from(substring(%(completed)b::bytea from u.start for u.size), 'UTF8')
from unnest(%(request_ids)s::uuid[], %(holders)s::text[], %(statuses)s::text[], %(txns)s::uuid[], %(holds)s::uuid[],
    %(charges)s::bigint[], %(overruns)s::bigint[], %(written_off)s::bigint[], %(starts)s::integer[], %(sizes)s::integer[])
    as u (request_id, holder, status, txn, hold, charge, overrun, written_off, start, size);

-- name: open_cases
insert into "case" (id, kind, holder, request_id, hold_id, currency, exposure_nano, detail, owner, due_at)
select u.*, %(owner)s, clock_timestamp() + %(max_age_days)s * interval '1 day'
from unnest(%(ids)s::uuid[], %(kinds)s::text[], %(holders)s::text[], %(request_ids)s::uuid[], %(hold_ids)s::uuid[],
    %(currencies)s::text[], %(exposures)s::bigint[], %(details)s::text[]) as u;

-- name: write_dead_letter
insert into dead_letter (topic, partition, "offset", reason, detail, key, type, payload)
values (%(topic)s, %(partition)s, %(offset)s, %(reason)s, %(detail)s, %(key)s, %(type)s, %(payload)s)
on conflict do nothing;

-- name: lock_buckets
select account, posted, held, overrun, funding = 'limit' from bucket_balance where account = any(%(accounts)s::bigint[])
order by account for no key update;

-- name: write_balance_moves
insert into balance_move (txn, account, before_nano, after_nano, held_after_nano)
select * from unnest(%(txns)s::uuid[], %(accounts)s::bigint[], %(before)s::bigint[], %(after)s::bigint[], %(held)s::bigint[]);

-- name: set_buckets
update bucket_balance k set posted = u.posted, held = u.held, overrun = u.overrun
from unnest(%(accounts)s::bigint[], %(posted)s::bigint[], %(held)s::bigint[], %(overruns)s::bigint[])
    as u (account, posted, held, overrun)
where k.account = u.account;

-- name: move_windows
with moved as (
    select * from unnest(%(ids)s::bigint[], %(released)s::bigint[], %(spent)s::bigint[], %(overruns)s::bigint[])
        as u (id, released, spent, overrun)
), locked as materialized (
    select s.id from envelope_window s join moved m on m.id = s.id order by s.id for no key update of s
)
update envelope_window s set held = s.held - m.released, spent = s.spent + m.spent, overrun = s.overrun + m.overrun
from moved m join locked l on l.id = m.id where s.id = m.id;

-- name: write_outbox
-- The payloads lie end to end in one value: `starts` (from 1) and `sizes` say where.
insert into outbox (topic, key, type, ref, payload)
select u.topic, u.key, u.type, u.ref, convert_from(substring(%(payloads)b::bytea from u.start for u.size), 'UTF8')
from unnest(%(topics)s::text[], %(keys)s::text[], %(types)s::text[], %(refs)s::uuid[], %(starts)s::integer[], %(sizes)s::integer[])
    as u (topic, key, type, ref, start, size);
