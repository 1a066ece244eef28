-- Money that moves beside requests: refunds, chargebacks, top-ups as a history.

-- name: charges_of_request
-- Every hold of the request with what its end charged: what was taken from the hold, and what came beyond it.
select h.id as hold_id, h.request_id, h.project_id, h.key_id, coalesce(h.detail ->> 'key_name', '') as key_name, h.bucket, h.currency,
    h.account, case when h.reserved then h.run else '' end as run, h.state, h.captured_nano + coalesce(r.overrun_nano, 0) as charged_nano,
    coalesce(r.overrun_nano, 0) as beyond_hold_nano, h.windows, h.ended_at
from hold h left join receipt r on r.request_id = h.request_id and r.charged_hold = h.id and r.status = 'settled'
where h.request_id = %(request_id)s and h.holder = %(holder)s order by h.placed_at, h.id;

-- name: refunded
select t.hold_id, sum(p.amount)::bigint
from txn t join posting p on p.txn = t.id and p.side = 'debit' join account k on k.id = p.account and k.kind = 'revenue'
where t.kind = 'refund' and t.hold_id = any(%(holds)s::uuid[]) group by t.hold_id;

-- name: refunds_of_request
-- Oldest first.
select t.id, t.hold_id, t.committed_at, t.detail
from hold h join txn t on t.hold_id = h.id and t.kind = 'refund'
where h.request_id = %(request_id)s and h.holder = %(holder)s order by t.id;

-- name: lock_hold
select id from hold where id = %(hold)s for update;

-- name: run_state
select state from run where id = %(run)s;

-- name: restore_windows
-- A day, a month or a run that is over stays as it was.
with still_open as materialized (
    select s.id from envelope_window s join envelope e on e.id = s.envelope
    where s.id = any(%(windows)s::bigint[]) and case e.window_kind
        when 'total' then true
        when 'run' then exists (select from run r where r.id = split_part(e.entity, '/', 1) and r.state = 'OPEN')
        else s.start_utc = date_trunc(e.window_kind, clock_timestamp(), 'UTC') end
    order by s.id for no key update of s
)
update envelope_window s set spent = s.spent - %(spent)s, overrun = s.overrun - %(overrun)s
from still_open o where s.id = o.id;

-- name: disputes_of_payment
select dispute_id, kind, amount_nano, reinstated_nano from dispute where payment = %(payment)s order by dispute_id;

-- name: dispute
select t.idem_key
from dispute d join txn t on t.id = d.payment where d.provider = %(provider)s and d.dispute_id = %(dispute_id)s;

-- name: add_dispute
insert into dispute (provider, dispute_id, payment, kind, txn, amount_nano)
values (%(provider)s, %(dispute_id)s, %(payment)s, %(kind)s, %(txn)s, %(amount)s);

-- name: reinstate_dispute
update dispute set reinstatement = %(txn)s, reinstated_nano = %(amount)s
where provider = %(provider)s and dispute_id = %(dispute_id)s;

-- name: topups
-- Newest first; ids are ordered by time.
select t.id, t.committed_at, t.idem_key, t.detail, coalesce(d.taken, 0)::bigint, coalesce(d.given, 0)::bigint
from txn t left join lateral (
    select sum(amount_nano) as taken, sum(reinstated_nano) as given from dispute where payment = t.id
) d on true
where t.kind = 'topup' and t.holder = %(holder)s and (%(after)s::uuid is null or t.id < %(after)s)
order by t.id desc limit %(limit)s;

-- name: known_holder
select 1 from bucket_balance where holder = %(holder)s limit 1;

-- name: keep_notice
-- What nobody's payment ever claims is dropped after a quarter.
with old as (
    delete from early_notice where received_at < clock_timestamp() - interval '90 days'
)
insert into early_notice (provider, event_id, payment_id, payload)
values (%(provider)s, %(event_id)s, %(payment_id)s, %(payload)s) on conflict do nothing;

-- name: notices
select event_id, payload from early_notice
where provider = %(provider)s and payment_id = %(payment_id)s order by received_at, event_id;

-- name: drop_notice
delete from early_notice where provider = %(provider)s and event_id = %(event_id)s;
