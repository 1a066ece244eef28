-- One account's ledger in one round trip, as tests/property/settlement/backend.py names it.
select
    (select coalesce(json_agg(json_build_array(bucket, run, posted, held, overrun)), '[]') from bucket_balance
        where holder = %(holder)s) as pots,
    (select coalesce(json_agg(json_build_array(id, state, amount_nano, captured_nano, released_nano)), '[]') from hold
        where holder = %(holder)s and state <> 'REFUSED') as holds,
    (select coalesce(json_agg(json_build_array(
            e.kind, e.entity, e.currency, e.window_kind, w.start_utc, w.held, w.spent, w.overrun)), '[]')
        from envelope e join envelope_window w on w.envelope = e.id where e.holder = %(holder)s) as windows,
    (select coalesce(json_agg(json_build_array(request_id, status, charge_nano, overrun_nano, written_off_nano)), '[]') from receipt
        where holder = %(holder)s) as receipts,
    (select coalesce(json_agg(json_build_array(kind, n)), '[]') from (
        select kind, count(*) as n from "case" where holder = %(holder)s and closed_at is null group by kind) c) as cases,
    (select count(*) from dead_letter) as dead_letters,
    (select coalesce(json_agg(json_build_array(kind, currency, net)), '[]') from (
        select k.kind, k.currency, sum(case p.side when 'debit' then p.amount else -p.amount end)::bigint as net
        from posting p join account k on k.id = p.account where k.holder is null group by k.kind, k.currency) b
        where net <> 0) as booked,
    (select coalesce(json_agg(json_build_array(r.id, r.state, b.bucket, b.budget_nano, b.returned_nano)), '[]')
        from run r join run_budget b on b.run = r.id where r.holder = %(holder)s) as runs
