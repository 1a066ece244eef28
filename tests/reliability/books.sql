-- What the ledger comes to, in words that two runs on different databases share. Row ids and times are left out.

-- name: balances
select holder, bucket, posted, held, overrun from bucket_balance order by holder, bucket;

-- name: windows
select e.holder, e.kind, e.entity, e.window_kind, sum(w.held)::bigint, sum(w.spent)::bigint, sum(w.overrun)::bigint
from envelope_window w join envelope e on e.id = w.envelope group by 1, 2, 3, 4 order by 1, 2, 3, 4;

-- name: accounts
select k.name, sum(case p.side when 'credit' then p.amount else -p.amount end)::bigint, count(*)
from posting p join account k on k.id = p.account group by k.name order by k.name;

-- name: receipts
select status, count(*), sum(charge_nano)::bigint,
    md5(string_agg(request_id::text || charged_hold::text || charge_nano || overrun_nano, ',' order by request_id))
from receipt group by status order by status;

-- name: holds
select state, count(*), sum(captured_nano)::bigint, sum(released_nano)::bigint,
    md5(string_agg(id::text || captured_nano, ',' order by id))
from hold group by state order by state;

-- name: cases
select kind, count(*) from "case" group by kind order by kind;

-- name: dead_letters
select reason, count(*) from dead_letter group by reason order by reason;
