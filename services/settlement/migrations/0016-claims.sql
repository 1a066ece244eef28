-- Who makes the upstream calls of a request that several workers may come upon: one claimant, for ever.

create table request_claim (
    request_id uuid primary key,
    hold_id uuid not null,
    claimant text not null,
    claimed_at timestamptz not null default clock_timestamp()
);
comment on table request_claim is 'made once, while the hold is open and before the first upstream call; nobody but the claimant calls';
create trigger request_claim_insert_only before update or delete or truncate on request_claim
    for each statement execute function refuse_change();
