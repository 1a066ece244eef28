-- The shadow schema: the topics' contents, what they are rebuilt to, and the ledger as it was at one instant beside it.

-- name: become_the_service
-- The tables belong to the service's role, so that every login of the service may drop what another has left.
select set_config('role', rolname, false) from pg_roles where rolname = 'tollbook_settlement' and pg_has_role(oid, 'set');

-- name: make
drop table if exists settlement_shadow.event_id, settlement_shadow.completion, settlement_shadow.ledger_event, settlement_shadow.beyond,
    settlement_shadow.ledger_bucket, settlement_shadow.ledger_window, settlement_shadow.ledger_envelope, settlement_shadow.dead_letter,
    settlement_shadow.bucket, settlement_shadow.spending, settlement_shadow.line;
create unlogged table settlement_shadow.event_id (
    topic text not null,
    partition integer not null,
    "offset" bigint not null,
    event_id uuid not null
);
create unlogged table settlement_shadow.completion (
    partition integer not null,
    "offset" bigint not null,
    event_id uuid,
    request_id uuid,
    hash text,
    payload text,
    poison text,
    primary key (partition, "offset")
);
create unlogged table settlement_shadow.ledger_event (
    partition integer not null,
    "offset" bigint not null,
    event_id uuid not null,
    account text not null,
    type text not null,
    fact text not null,
    ref uuid,
    ended_hold uuid,
    hash text not null,
    payload text not null,
    primary key (partition, "offset")
);
create unlogged table settlement_shadow.beyond (
    partition integer not null,
    "offset" bigint not null,
    primary key (partition, "offset")
);
create unlogged table settlement_shadow.ledger_bucket (
    holder text not null,
    bucket text not null,
    run text not null,
    currency text not null,
    posted bigint not null,
    held bigint not null,
    owed bigint not null,
    funding text not null,
    primary key (holder, bucket, run)
);
create unlogged table settlement_shadow.ledger_window (
    holder text not null,
    kind text not null,
    entity text not null,
    currency text not null,
    window_kind text not null,
    start_utc timestamptz not null,
    held bigint not null,
    spent bigint not null,
    overrun bigint not null
);
create unlogged table settlement_shadow.ledger_envelope (
    holder text not null,
    kind text not null,
    entity text not null,
    currency text not null,
    window_kind text not null
);
create unlogged table settlement_shadow.dead_letter (
    partition integer not null,
    "offset" bigint not null,
    redriven boolean not null,
    primary key (partition, "offset")
);
create unlogged table settlement_shadow.bucket (
    holder text not null,
    bucket text not null,
    run text not null,
    currency text not null,
    posted bigint not null,
    held bigint not null,
    owed bigint not null
);
create unlogged table settlement_shadow.spending (
    holder text not null,
    kind text not null,
    entity text not null,
    currency text not null,
    window_kind text not null,
    start_utc timestamptz not null,
    held bigint not null,
    spent bigint not null,
    overrun bigint not null
);
create unlogged table settlement_shadow.line (
    txn uuid,
    idem_key text,
    whole boolean not null,
    request_id uuid,
    account text not null,
    credit bigint not null
);

-- name: copy_event_ids
copy settlement_shadow.event_id (topic, partition, "offset", event_id) from stdin;

-- name: copy_completions
copy settlement_shadow.completion (partition, "offset", event_id, request_id, hash, payload, poison) from stdin;

-- name: copy_ledger_events
copy settlement_shadow.ledger_event (partition, "offset", event_id, account, type, fact, ref, ended_hold, hash, payload) from stdin;

-- name: copy_buckets
copy settlement_shadow.bucket (holder, bucket, run, currency, posted, held, owed) from stdin;

-- name: copy_spending
copy settlement_shadow.spending (holder, kind, entity, currency, window_kind, start_utc, held, spent, overrun) from stdin;

-- name: copy_lines
copy settlement_shadow.line (txn, idem_key, whole, request_id, account, credit) from stdin;

-- name: index
create index completion_request on settlement_shadow.completion (request_id);
create index completion_event on settlement_shadow.completion (event_id);
create index ledger_event_event on settlement_shadow.ledger_event (event_id);
create index ledger_event_ref on settlement_shadow.ledger_event (ref, fact);
create index ledger_event_ended on settlement_shadow.ledger_event (ended_hold) where ended_hold is not null;
create index ledger_event_account on settlement_shadow.ledger_event (account, partition, "offset");
analyze settlement_shadow.completion, settlement_shadow.ledger_event;

-- name: distinct_ids
select count(distinct e.event_id)
from settlement_shadow.event_id e
join unnest(%(partitions)s::integer[], %(ends)s::bigint[]) as u (partition, until) on u.partition = e.partition and e."offset" < u.until
where e.topic = %(topic)s;

-- name: last_outbox
select coalesce(max(id), 0) from outbox where topic = %(topic)s;

-- name: outbox_waiting
select count(*) from outbox where topic = %(topic)s and id <= %(last)s;

-- name: consumed
select partition, next from consumer_offset where topic = %(topic)s order by partition;

-- name: take_buckets
insert into settlement_shadow.ledger_bucket (holder, bucket, run, currency, posted, held, owed, funding)
select holder, bucket, run, currency, posted, held, overrun, funding from bucket_balance;

-- name: take_windows
insert into settlement_shadow.ledger_window (holder, kind, entity, currency, window_kind, start_utc, held, spent, overrun)
select e.holder, e.kind, e.entity, e.currency, e.window_kind, w.start_utc, w.held, w.spent, w.overrun
from envelope_window w join envelope e on e.id = w.envelope;

-- name: take_envelopes
insert into settlement_shadow.ledger_envelope (holder, kind, entity, currency, window_kind)
select holder, kind, entity, currency, window_kind from envelope;

-- name: take_dead_letters
insert into settlement_shadow.dead_letter (partition, "offset", redriven)
select partition, "offset", redriven_at is not null from dead_letter where topic = %(topic)s;

-- name: take_beyond
-- Events whose fact this snapshot does not have: later than it, or of no fact at all.
insert into settlement_shadow.beyond (partition, "offset")
select e.partition, e."offset" from settlement_shadow.ledger_event e
where case e.fact
    when 'hold' then not exists (select from hold h where h.id = e.ref)
    when 'released' then not exists (select from hold h where h.id = e.ref and h.state = 'RELEASED')
    when 'txn' then not exists (select from txn t where t.id = e.ref)
    when 'case' then not exists (select from "case" c where c.id = e.ref)
    when 'case_closed' then not exists (select from "case" c where c.id = e.ref and c.closed_at is not null)
    else false end;

-- name: facts_without_event
-- What the ledger has done and the topic does not tell.
select 'transaction ' || t.id || ' (' || t.kind || ', ' || t.idem_key || ') of ' || coalesce(t.holder, 'operator') as what
from txn t
where t.kind <> 'release' and not exists (
    select from settlement_shadow.ledger_event e where e.event_id = t.id and e.fact = 'txn'
)
union all
select 'hold ' || h.id || ' of ' || h.holder from hold h
where not exists (select from settlement_shadow.ledger_event e where e.ref = h.id and e.fact = 'hold')
union all
select 'release of hold ' || h.id || ' of ' || h.holder from hold h
where h.state = 'RELEASED' and not exists (
    select from settlement_shadow.ledger_event e where e.ref = h.id and e.fact = 'released'
)
union all
select 'case ' || c.id || ' (' || c.kind || ') of ' || c.holder from "case" c
where not exists (select from settlement_shadow.ledger_event e where e.ref = c.id and e.fact = 'case')
union all
select 'closing of case ' || c.id || ' of ' || c.holder from "case" c
where c.closed_at is not null and not exists (
    select from settlement_shadow.ledger_event e where e.ref = c.id and e.fact = 'case_closed'
);

-- name: completions_not_posted
-- A completion that the ledger has read past is in its inbox, or set aside.
select 'request ' || c.request_id || ', event ' || c.event_id || ' at ' || c.partition || '/' || c."offset" as what
from settlement_shadow.completion c
join unnest(%(partitions)s::integer[], %(ends)s::bigint[]) as u (partition, until)
    on u.partition = c.partition and c."offset" < u.until
where c.poison is null and not exists (select from inbox i where i.event_id = c.event_id) and not exists (
    select from settlement_shadow.dead_letter d where d.partition = c.partition and d."offset" = c."offset" and not d.redriven
);

-- name: poison_not_set_aside
select 'the record at ' || c.partition || '/' || c."offset" || ' (' || c.poison || ')' as what
from settlement_shadow.completion c
join unnest(%(partitions)s::integer[], %(ends)s::bigint[]) as u (partition, until)
    on u.partition = c.partition and c."offset" < u.until
where c.poison is not null and not exists (
    select from settlement_shadow.dead_letter d where d.partition = c.partition and d."offset" = c."offset"
);

-- name: postings_without_completion
-- The inbox names the record that each posting came from: it must lie there, the same to the last byte.
select 'event ' || i.event_id || ' at ' || i.partition || '/' || i."offset" || case
        when c.partition is null then ': the topic has no such completion'
        when c.event_id is distinct from i.event_id then ': another event lies there'
        else ': its payload is not the one that was posted' end as what
from inbox i
left join settlement_shadow.completion c on c.partition = i.partition and c."offset" = i."offset"
where i.topic = %(topic)s and (c.event_id is distinct from i.event_id or c.hash is distinct from encode(i.payload_hash, 'hex'));

-- name: postings_without_inbox
select 'request ' || t.request_id || ' (' || t.kind || '): its event ' || (t.detail ->> 'event_id') || ' was never consumed' as what
from txn t
where t.kind in ('capture', 'release', 'late_usage')
    and not exists (select from inbox i where i.event_id = (t.detail ->> 'event_id')::uuid);

-- name: forged
-- One id with several payloads, and nobody was told: of completions there must be a case.
select 'event ' || c.event_id || ' came ' || count(*) || ' times with ' || count(distinct c.hash) || ' payloads' as what
from settlement_shadow.completion c
join unnest(%(partitions)s::integer[], %(ends)s::bigint[]) as u (partition, until)
    on u.partition = c.partition and c."offset" < u.until
where c.event_id is not null
group by c.event_id having count(distinct c.hash) > 1 and not exists (
    select from "case" k where k.kind = 'payload_mismatch' and k.request_id = any(array_agg(c.request_id))
)
union all
select 'event ' || event_id || ' (' || min(type) || ') came ' || count(*) || ' times with ' || count(distinct hash) || ' payloads'
from settlement_shadow.ledger_event group by event_id having count(distinct hash) > 1;

-- name: flagged
select count(*) from (
    select event_id from settlement_shadow.completion where event_id is not null group by event_id having count(distinct hash) > 1
) as f;

-- name: duplicates
select coalesce(sum(n - 1), 0)::bigint from (
    select count(*) as n from settlement_shadow.completion where event_id is not null group by event_id
    union all select count(*) from settlement_shadow.ledger_event group by event_id
) as d;

-- name: events_without_fact
-- Asked of a later snapshot: an event is only published after its fact is committed.
select e.type || ' ' || e.event_id || ' of ' || e.account || ' at ' || e.partition || '/' || e."offset" as what
from settlement_shadow.beyond b join settlement_shadow.ledger_event e using (partition, "offset")
where case e.fact
    when 'hold' then not exists (select from hold h where h.id = e.ref)
    when 'released' then not exists (select from hold h where h.id = e.ref and h.state = 'RELEASED')
    when 'txn' then not exists (select from txn t where t.id = e.ref)
    when 'case' then not exists (select from "case" c where c.id = e.ref)
    when 'case_closed' then not exists (select from "case" c where c.id = e.ref and c.closed_at is not null)
    else false end;

-- name: story
-- Every event of the ledger's topic up to the cut, once, account by account in order.
select e.account, e.partition, e."offset", e.type, e.payload from settlement_shadow.ledger_event e
where (e.account, e.partition, e."offset") > (%(account)s, %(partition)s, %(offset)s)
    and not exists (select from settlement_shadow.beyond b where b.partition = e.partition and b."offset" = e."offset")
    and not exists (
        select from settlement_shadow.ledger_event f
        where f.event_id = e.event_id and (f.partition, f."offset") < (e.partition, e."offset")
    )
order by e.account, e.partition, e."offset" limit %(limit)s;

-- name: completions_of
-- The completions of some requests, the one that settles first: what was set aside settles when it is redriven, if ever.
select c.request_id, c.payload from settlement_shadow.completion c
join unnest(%(partitions)s::integer[], %(ends)s::bigint[]) as u (partition, until)
    on u.partition = c.partition and c."offset" < u.until
left join settlement_shadow.dead_letter d on d.partition = c.partition and d."offset" = c."offset"
where c.request_id = any(%(requests)s::uuid[]) and c.poison is null and coalesce(d.redriven, true)
order by c.request_id, d.redriven is not null, c.partition, c."offset";

-- name: envelopes
select kind, entity, currency, window_kind from settlement_shadow.ledger_envelope where holder = %(holder)s;

-- name: cost_centres
select bucket, currency from settlement_shadow.ledger_bucket where holder = %(holder)s and run = '' and funding = 'limit';

-- name: run_closings
select id, closing_at from run where holder = %(holder)s and closing_at is not null;

-- name: holds_placed
select ref, "offset", payload from settlement_shadow.ledger_event where ref = any(%(holds)s::uuid[]) and type = 'HoldPlaced';

-- name: holds_ended
select ended_hold, min("offset") from settlement_shadow.ledger_event where ended_hold = any(%(holds)s::uuid[]) group by ended_hold;

-- name: price_books
select version, sha256, document from price_book order by version;

-- name: compare_buckets
select holder, bucket, run, currency, f.measure, f.rebuilt, f.ledger
from settlement_shadow.bucket r full join settlement_shadow.ledger_bucket l using (holder, bucket, run, currency)
cross join lateral (values
    ('posted', coalesce(r.posted, 0), coalesce(l.posted, 0)),
    ('held', coalesce(r.held, 0), coalesce(l.held, 0)),
    ('owed', coalesce(r.owed, 0), coalesce(l.owed, 0))
) as f (measure, rebuilt, ledger)
where f.rebuilt <> f.ledger order by holder, bucket, run, f.measure;

-- name: compare_windows
select holder, kind, entity, currency, window_kind, start_utc, f.measure, f.rebuilt, f.ledger
from settlement_shadow.ledger_window l
left join settlement_shadow.spending r using (holder, kind, entity, currency, window_kind, start_utc)
cross join lateral (values
    ('held', coalesce(r.held, 0), l.held),
    ('spent', coalesce(r.spent, 0), l.spent),
    ('overrun', coalesce(r.overrun, 0), l.overrun)
) as f (measure, rebuilt, ledger)
where f.rebuilt <> f.ledger order by holder, kind, entity, window_kind, start_utc, f.measure;

-- name: name_lines
update settlement_shadow.line l set txn = t.id from txn t where l.txn is null and t.idem_key = l.idem_key;

-- name: lines_without_txn
-- A completion that moves money and was consumed, but not settled.
select distinct 'request ' || request_id || ' (' || idem_key || ')' as what from settlement_shadow.line where txn is null;

-- name: compare_postings
-- What each transaction moved on each account, as it is posted and as it follows from the events. Of a transaction that is taken
-- as given only the customer's own accounts are told (not `whole`).
with told as (
    select txn, account, sum(credit) as credit, (array_agg(request_id))[1] as request_id
    from settlement_shadow.line where txn is not null group by txn, account
), named as (
    select txn, bool_and(whole) as whole from settlement_shadow.line where txn is not null group by txn
), posted as (
    select p.txn, k.name as account, sum(case p.side when 'credit' then p.amount else -p.amount end) as credit
    from named n join posting p on p.txn = n.txn join account k on k.id = p.account
    where n.whole or k.holder is not null group by p.txn, k.name
)
select txn, account, coalesce(t.credit, 0)::bigint as rebuilt, coalesce(p.credit, 0)::bigint as ledger, t.request_id
from told t full join posted p using (txn, account)
where coalesce(t.credit, 0) <> coalesce(p.credit, 0) order by txn, account;

-- name: counts
select
    (select count(*) from settlement_shadow.completion where poison is null) as completions,
    (select count(*) from settlement_shadow.ledger_event) as ledger_events,
    (select count(*) from settlement_shadow.bucket) as buckets,
    (select count(*) from settlement_shadow.ledger_window) as windows,
    (select count(distinct txn) from settlement_shadow.line) as transactions;
