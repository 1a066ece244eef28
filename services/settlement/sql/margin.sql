-- What requests were charged and what they cost the operator. Read in one snapshot, by the ids of transactions, which begin with their time.

-- name: allow_time
select set_config('statement_timeout', %(timeout_ms)s, true);

-- name: money
-- Per day, key and currency. Usage that came after its hold had expired is charged to nobody; its cost counts.
-- A refund counts on its own day, under the model and the channel of the request that it is for.
with moved as (
    select t.id, t.kind, t.holder, t.hold_id, (t.committed_at at time zone 'UTC')::date as day,
        coalesce(t.request_id, (t.detail ->> 'request_id')::uuid) as request_id
    from txn t
    where t.id >= %(first)s and t.id < %(last)s and t.committed_at >= %(since)s and t.committed_at < %(until)s
        and t.kind in ('capture', 'release', 'late_usage', 'expire', 'refund')
), told as (
    select m.*, r.completed::json -> 'data' as data,
        case when %(by)s = 'channel' then (select (c.detail ->> 'attempt')::integer from txn c where c.id = r.txn) end as attempt
    from moved m left join receipt r on %(by)s in ('model', 'channel') and r.request_id = m.request_id
), named as (
    select t.id, t.kind, t.day, case %(by)s
        when 'day' then t.day::text
        when 'account' then t.holder
        when 'model' then coalesce(t.data ->> 'requested_model',
            (select h.detail -> 'candidates' -> 0 ->> 2 from hold h where h.id = t.hold_id))
        else coalesce(
            (select a ->> 'channel' from json_array_elements(t.data -> 'attempts') a where (a ->> 'attempt')::integer = t.attempt),
            (select h.detail -> 'candidates' -> 0 ->> 0 from hold h where h.id = t.hold_id))
        end as key
    from told t
), lines as (
    select n.id, n.day, n.kind, p.currency, a.kind as account,
        case when a.kind = 'provider_cost' and %(by)s = 'channel'
            then substr(a.name, 15, length(a.name) - 15 - length(a.currency)) else n.key end as key,
        case when p.side = 'credit' then p.amount else -p.amount end as credit,
        bool_or(a.kind = 'provider_cost') over (partition by n.id) as costed
    from named n join posting p on p.txn = n.id join account a on a.id = p.account and a.kind in ('revenue', 'provider_cost')
), sums as (
    select l.id, l.day, l.key, l.currency, bool_or(costed) as costed,
        sum(credit) filter (where account = 'revenue' and kind in ('capture', 'expire')) as charged,
        -sum(credit) filter (where account = 'revenue' and kind = 'refund') as refunded,
        -sum(credit) filter (where account = 'provider_cost') as cost
    from lines l group by 1, 2, 3, 4
)
select day, key, currency, count(*) filter (where charged is not null)::integer as requests,
    coalesce(sum(charged), 0)::bigint as charged, coalesce(sum(refunded), 0)::bigint as refunded, coalesce(sum(cost), 0)::bigint as cost,
    coalesce(sum(charged) filter (where not costed), 0)::bigint as uncosted
from sums s group by 1, 2, 3 order by 1, 2, 3;
