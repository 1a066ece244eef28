-- name: price_book_in_force
select version, sha256, document from price_book b
where (effective_from is null or effective_from <= clock_timestamp())
    and not exists (select from price_withdrawal w where w.version = b.version)
order by coalesce(effective_from, published_at) desc, version desc limit 1;

-- name: price_book_version
select version, sha256, document from price_book where version = %(version)s;

-- name: holds_decided
select id, request_id, holder, bucket, currency, amount_nano, price_version, output_cap, refusal, detail ->> 'frozen_why' as frozen_why
from hold where id = any(%(ids)s::uuid[]);

-- name: renew_holds
-- Rows that are locked are being ended: their renewal does not matter, and waiting for them could deadlock.
with asked as (
    select * from unnest(%(ids)s::uuid[], %(deadlines)s::timestamptz[], %(inputs)s::bigint[], %(outputs)s::bigint[])
        as u (id, deadline, input, output)
), open as (
    select h.id from hold h join asked a on a.id = h.id where h.state = 'HELD' order by h.id for no key update of h skip locked
), renewed as (
    update hold h set expires_at = greatest(h.expires_at, a.deadline),
        progress_input = greatest(h.progress_input, a.input), progress_output = greatest(h.progress_output, a.output)
    from asked a join open o on o.id = a.id where h.id = a.id
)
select a.id from asked a left join hold h on h.id = a.id where h.state is distinct from 'HELD';

-- name: take_ingress
insert into ingress (event_id, topic, key, type, value)
select * from unnest(%(ids)s::uuid[], %(topics)s::text[], %(keys)s::text[], %(types)s::text[], %(values)s::text[])
on conflict (event_id) do nothing;

-- name: ingress_state
select count(*), coalesce(extract(epoch from clock_timestamp() - min(taken_at)), 0)::float8
from (select taken_at from ingress order by id limit %(bound)s) as oldest;

-- name: place_holds
select * from decide_holds(
    %(version)s::integer, %(default_output)s::bigint, %(floor_output)s::bigint,
    %(bucket_holders)s::text[], %(bucket_names)s::text[], %(bucket_runs)s::text[], %(run_ids)s::text[],
    %(env_holders)s::text[], %(env_kinds)s::text[], %(env_entities)s::text[], %(env_currencies)s::text[],
    %(ids)s::uuid[], %(requests)s::uuid[], %(holders)s::text[], %(projects)s::text[], %(keys)s::text[],
    %(bucket_at)s::integer[], %(buckets)s::text[], %(currencies)s::text[],
    %(account_at)s::integer[], %(bucket_env_at)s::integer[], %(project_at)s::integer[], %(key_at)s::integer[],
    %(run_env_at)s::integer[], %(run_at)s::integer[],
    %(inputs)s::bigint[], %(choices)s::bigint[], %(max_outputs)s::bigint[], %(model_maxima)s::bigint[],
    %(price_firsts)s::integer[], %(price_lasts)s::integer[], %(price_inputs)s::bigint[], %(price_outputs)s::bigint[],
    %(deadlines)s::timestamptz[], %(codes)s::text[], %(code_envelopes)s::integer[], %(needed)s::bigint[], %(details)s::text[]
);
