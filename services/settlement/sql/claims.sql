-- name: claim_requests
-- The hold's row is locked against whoever would end it: a claim is made while the hold is open, or not at all.
with asked as (
    select * from unnest(%(ids)s::uuid[], %(claimants)s::text[]) as u (id, claimant)
), open as (
    select h.id, h.request_id, a.claimant from hold h join asked a on a.id = h.id where h.state = 'HELD' order by h.id for share of h
)
insert into request_claim (request_id, hold_id, claimant)
select distinct on (request_id) request_id, id, claimant from open order by request_id, id
on conflict do nothing;

-- name: claims_of_holds
select h.id, h.state::text, c.claimant
from hold h left join request_claim c on c.request_id = h.request_id
where h.id = any(%(ids)s::uuid[]);
