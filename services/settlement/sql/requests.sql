-- An account's requests, newest first: ids of requests are in the order of time. Read in one snapshot.

-- name: floor
-- How far down one page looks, so that no filter makes it read an account's whole past; none where the rest is less than that.
select request_id from hold where holder = %(holder)s and request_id < %(before)s and request_id >= %(least)s
order by request_id desc offset %(looked_at)s limit 1;

-- name: requests
-- A request has several holds where it was tried in several buckets; they agree in everything that is filtered by, save the state.
select h.request_id from hold h left join receipt r on r.request_id = h.request_id and r.holder = h.holder
where h.holder = %(holder)s and h.request_id < %(before)s and h.request_id >= %(least)s
    and (%(project)s::text is null or h.project_id = %(project)s)
    and (%(key)s::text is null or h.key_id = %(key)s)
    and (%(run)s::text is null or h.run = %(run)s)
    and (%(model)s::text is null or r.completed::json #>> '{data,requested_model}' = %(model)s)
    and (%(outcome)s::text is null or r.completed::json #>> '{data,outcome}' = %(outcome)s)
group by h.request_id
having %(state)s::text is null or %(state)s = coalesce(min(r.status::text), case
    when bool_or(h.state = 'HELD') then 'pending' when bool_or(h.state = 'EXPIRED') then 'expired' else 'refused' end)
order by h.request_id desc limit %(limit)s;

-- name: holds
select id, request_id, project_id, key_id, bucket, currency, state, amount_nano, captured_nano, placed_at, ended_at, detail, refusal
from hold where request_id = any(%(requests)s::uuid[]) and holder = %(holder)s order by placed_at, id;

-- name: receipts
select request_id, status, charged_hold, charge_nano, completed, settled_at
from receipt where request_id = any(%(requests)s::uuid[]) and holder = %(holder)s;

-- name: run_times
select opened_at, closed_at from run where id = %(run)s and holder = %(holder)s;
