-- name: event_to_ledger
-- How long each request of the given accounts took from its end (RequestCompleted) to its transaction, in ms.
select extract(epoch from t.committed_at - (r.completed::json ->> 'occurred_at')::timestamptz)::float8 * 1000
from settlement.receipt r
join settlement.txn t on t.id = r.txn
where r.holder = any(%(accounts)s) and r.settled_at >= %(since)s and r.status = 'settled'

-- name: settings
select name, setting from pg_settings
where name in ('fsync', 'synchronous_commit', 'full_page_writes', 'server_version')
order by name
