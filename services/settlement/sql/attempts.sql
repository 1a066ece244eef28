-- What was asked of providers, for comparing with what they bill.

-- name: completions
-- Ids of requests are ordered by time.
select request_id, holder, completed from receipt
where request_id > %(after)s and request_id < %(before)s order by request_id limit %(limit)s;

-- name: exposed
-- Settled requests with an attempt whose provider may bill what it never reported.
select request_id, holder, completed from receipt
where request_id > %(after)s and request_id < %(before)s and strpos(completed, '"exposure":{') > 0
order by request_id limit %(limit)s;

-- name: unknown_ends
-- Holds whose request never completed: what was asked of a provider is not known.
select h.id, h.request_id, h.holder, h.currency, h.state, h.amount_nano, h.captured_nano, h.placed_at, h.expires_at, h.detail
from hold h
where h.state in ('EXPIRED', 'HELD') and h.expires_at >= %(since)s and h.placed_at < %(until)s
    and not exists (select from receipt r where r.request_id = h.request_id)
    and (%(after)s::uuid is null or (h.expires_at, h.id) > (select p.expires_at, p.id from hold p where p.id = %(after)s))
order by h.expires_at, h.id limit %(limit)s;
