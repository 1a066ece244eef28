-- What the reader of the bank test asks in one snapshot. Every query returns rows that must not be there, but for the first.

-- name: totals
-- What the wallet has by its own row, and every account of the ledger by its postings: credits minus debits per kind.
select coalesce(sum(posted), 0)::bigint, coalesce(sum(held), 0)::bigint, coalesce(sum(overrun), 0)::bigint
from bucket_balance;

-- name: folded
select k.kind, sum(case p.side when 'credit' then p.amount else -p.amount end)::bigint
from posting p join account k on k.id = p.account group by k.kind;

-- name: overspent_buckets
select account, posted, held from bucket_balance where posted < 0 or held < 0 or posted - held < 0;

-- name: held_apart
-- Held amounts that are not the sum of the open holds: per bucket and per window.
with open as materialized (
    select account, amount_nano, windows from hold where state = 'HELD'
), stamped as (
    select w as id, sum(amount_nano) as held from open, unnest(windows) as w group by w
)
select 'bucket' as of, b.account as id, b.held::bigint as held, coalesce(sum(o.amount_nano), 0)::bigint as open
from bucket_balance b left join open o on o.account = b.account group by b.account
having b.held <> coalesce(sum(o.amount_nano), 0)
union all
select 'window', w.id, w.held::bigint, coalesce(s.held, 0)::bigint
from envelope_window w left join stamped s on s.id = w.id where w.held <> coalesce(s.held, 0);

-- name: overspent_windows
-- Above the limit under which the last hold passed; and, where a limit stood before the first hold and never changed, above that.
select e.kind, e.entity, e.window_kind, w.held, w.spent, w.overrun, w.limit_at_last_hold, e.limit_nano
from envelope_window w join envelope e on e.id = w.envelope
where w.held + w.spent - w.overrun > w.limit_at_last_hold
    or (e.version = 1 and e.changed_at < %(began)s and w.held + w.spent - w.overrun > e.limit_nano);

-- name: outcomes
select case when state = 'REFUSED' then refusal ->> 'code' || coalesce(' by ' || (refusal ->> 'kind'), '') else lower(state) end, count(*)
from hold group by 1 order by 1;

-- name: expired_with_progress
-- Expired holds that were charged for their last sign of life, and what their completion said when it came later.
select h.progress_input, h.progress_output, h.amount_nano, h.captured_nano, coalesce((t.detail ->> 'charge_nano')::bigint, 0)
from hold h left join txn t on t.hold_id = h.id and t.kind = 'late_usage'
where h.state = 'EXPIRED' and h.captured_nano > 0;
