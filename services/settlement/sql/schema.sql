-- Settlement's tables as they are today. Applied with search_path set to the service's schema; the migrations give the same.

-- Rules for one column are domains: Postgres reads a domain's rule once per session, a column's with every statement.
create domain nano as bigint check (value >= 0);
create domain side as text check (value in ('debit', 'credit'));
create domain hold_state as text check (value in ('HELD', 'CAPTURED', 'RELEASED', 'EXPIRED', 'REFUSED'));
create domain receipt_status as text check (value in ('settled', 'released', 'expired'));
create domain positive_nano as bigint check (value > 0);
create domain funding as text check (value in ('prepaid', 'limit'));
create domain run_state as text check (value in ('OPEN', 'CLOSING', 'CLOSED'));

-- Double entry ---------------------------------------------------------------------------------------------------------------

create table account (
    id bigint generated always as identity primary key,
    name text not null unique,
    kind text not null,
    currency text not null,
    normal_side side not null,
    holder text,
    bucket text,
    unique (id, currency)
);
comment on column account.holder is 'the customer account that owns the bucket; null for the operator''s own accounts';

create table txn (
    id uuid primary key,
    kind text not null,
    idem_key text not null unique,
    request_hash bytea,
    price_version integer,
    holder text,
    request_id uuid,
    hold_id uuid,
    detail json not null,
    committed_at timestamptz not null default clock_timestamp()
);

create table posting (
    txn uuid not null,
    line smallint not null,
    account bigint not null,
    currency text not null,
    side side not null,
    amount positive_nano not null,
    primary key (txn, line)
);

create table balance_move (
    txn uuid not null,
    account bigint not null,
    seq bigint generated always as identity,
    before_nano bigint not null,
    after_nano bigint not null,
    held_after_nano bigint not null,
    primary key (txn, account)
);
create unique index balance_move_account on balance_move (account, seq);
comment on table balance_move is 'what a transaction did to a bucket, in the order in which the bucket changed';

create function postings_balance() returns trigger language plpgsql as $$
begin
    if exists (
        select from added group by txn, currency having sum(case side when 'debit' then amount else -amount end) <> 0
    ) or exists (
        select from (select distinct account, currency from added) a
        where not exists (select from account k where k.id = a.account and k.currency = a.currency)
    ) or exists (
        select from (select distinct txn from added) a where not exists (select from txn t where t.id = a.txn)
    ) then
        raise exception 'postings must balance per transaction and currency, in known accounts of that currency'
            using errcode = 'TB002';
    end if;
    return null;
end
$$;
create trigger posting_balances after insert on posting referencing new table as added
    for each statement execute function postings_balance();

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is insert-only: write a new transaction that corrects it', tg_table_name using errcode = 'TB003';
end
$$;
create trigger posting_insert_only before update or delete or truncate on posting
    for each statement execute function refuse_change();
create trigger txn_insert_only before update or delete or truncate on txn
    for each statement execute function refuse_change();
create trigger balance_move_insert_only before update or delete or truncate on balance_move
    for each statement execute function refuse_change();

-- Buckets, limits, holds -----------------------------------------------------------------------------------------------------

create table bucket_balance (
    account bigint primary key references account (id),
    holder text not null,
    bucket text not null,
    currency text not null,
    posted bigint not null default 0,
    held nano not null default 0,
    overrun nano not null default 0,
    limited boolean not null default false,
    run text not null default '',
    funding funding not null default 'prepaid',
    unique (holder, bucket, run),
    check (funding = 'limit' or posted - held >= 0)
) with (fillfactor = 20);
comment on column bucket_balance.run is 'the run whose reserve this is; empty for the customer''s own bucket';
comment on column bucket_balance.funding is 'limit: a cost centre, whose envelope of kind bucket stops it; posted is then what it has used, below zero';
comment on column bucket_balance.overrun is 'what the holder owes beyond the bucket; while it is above zero no new hold passes';
comment on column bucket_balance.limited is 'whether the holder has any envelope in this currency: others need not be looked for';

create table envelope (
    id bigint generated always as identity primary key,
    holder text not null,
    kind text not null check (kind in ('account', 'bucket', 'project', 'key', 'run')),
    entity text not null,
    currency text not null,
    window_kind text not null check (window_kind in ('total', 'day', 'month', 'run')),
    limit_nano nano,
    version integer not null default 1,
    changed_at timestamptz not null default clock_timestamp(),
    unique (holder, kind, entity, currency, window_kind)
);
comment on column envelope.limit_nano is 'null: nothing is refused, but the windows go on counting';

create table envelope_window (
    id bigint generated always as identity primary key,
    envelope bigint not null references envelope (id),
    start_utc timestamptz not null,
    held nano not null default 0,
    spent nano not null default 0,
    overrun nano not null default 0,
    limit_at_last_hold bigint,
    unique (envelope, start_utc)
) with (fillfactor = 40);

create table hold (
    id uuid primary key,
    request_id uuid not null,
    holder text not null,
    project_id text not null,
    key_id text not null,
    bucket text not null,
    currency text not null,
    account bigint,
    state hold_state not null,
    amount_nano nano not null,
    captured_nano nano not null default 0,
    released_nano nano not null default 0,
    price_version integer not null,
    output_cap bigint not null,
    input_tokens_bound bigint not null,
    progress_input bigint not null default 0,
    progress_output bigint not null default 0,
    windows bigint[] not null,
    placed_at timestamptz not null,
    deadline_at timestamptz not null,
    expires_at timestamptz not null,
    ended_at timestamptz,
    detail json not null,
    refusal json,
    run text not null default '',
    reserved boolean not null default false,
    check (
        captured_nano + released_nano = case when state in ('HELD', 'REFUSED') then 0 else amount_nano end
        and (state = 'REFUSED') = (refusal is not null)
    )
) with (fillfactor = 60);
create index hold_request on hold (request_id);
create index hold_expiry on hold (expires_at);
create index hold_run on hold (holder, run, placed_at, id) where run <> '';
comment on column hold.windows is 'the windows that the hold was counted in when it was placed: its end counts in the same ones';
comment on column hold.reserved is 'the run''s reserve pays, not the customer''s bucket itself';
comment on column hold.expires_at is 'the deadline as renewed by the stream''s progress; no index names the state, so that ending a hold stays a HOT update';

create table sweep (
    id boolean primary key default true check (id),
    swept_until timestamptz not null
);
comment on table sweep is 'no hold that expires before swept_until is open';

create table receipt (
    request_id uuid primary key,
    holder text not null,
    status receipt_status not null,
    txn uuid not null,
    charged_hold uuid,
    charge_nano bigint not null default 0,
    overrun_nano bigint not null default 0,
    written_off_nano bigint not null default 0,
    completed text not null,
    settled_at timestamptz not null default clock_timestamp()
);
comment on column receipt.completed is 'RequestCompleted as it came: plan, attempts, fallbacks';

create table price_book (
    version integer primary key,
    sha256 text not null,
    document json not null,
    published_at timestamptz not null default clock_timestamp()
);

create table "case" (
    id uuid primary key,
    kind text not null,
    holder text not null,
    request_id uuid,
    hold_id uuid,
    currency text,
    exposure_nano bigint,
    detail text not null,
    owner text not null,
    opened_at timestamptz not null default clock_timestamp(),
    due_at timestamptz not null,
    closed_at timestamptz,
    resolution text
);
create index case_open on "case" (opened_at) where closed_at is null;

-- Runs -----------------------------------------------------------------------------------------------------------------------

create table run (
    id text primary key,
    holder text not null,
    project_id text not null,
    key_id text not null,
    reserve boolean not null,
    state run_state not null,
    deadline_at timestamptz not null,
    opened_at timestamptz not null,
    closing_at timestamptz,
    closed_at timestamptz,
    close_reason text,
    detail json not null,
    warnings json not null
);
create index run_of_holder on run (holder, opened_at, id);
create index run_not_closed on run (deadline_at) where state <> 'CLOSED';
comment on column run.detail is 'what never changes: key name, environment, tags, label, rules';

create table run_budget (
    run text not null references run (id),
    bucket text not null,
    currency text not null,
    budget_nano nano not null,
    returned_nano nano not null default 0,
    primary key (run, bucket)
);
comment on column run_budget.returned_nano is 'what went back to the bucket when the run was closed';

create table run_change (
    id bigint generated always as identity primary key,
    run text not null references run (id),
    kind text not null check (kind in ('opened', 'extended', 'closing', 'closed')),
    at timestamptz not null,
    detail json not null
);
create index run_change_of_run on run_change (run, id);

-- Money beside requests -------------------------------------------------------------------------------------------------------

create index txn_refund on txn (hold_id) where kind = 'refund';
create index txn_topup on txn (holder, id) where kind = 'topup';

create table dispute (
    provider text not null,
    dispute_id text not null,
    payment uuid not null,
    kind text not null check (kind in ('dispute', 'returned')),
    txn uuid not null,
    amount_nano positive_nano not null,
    reinstatement uuid,
    reinstated_nano nano not null default 0,
    primary key (provider, dispute_id),
    check (reinstated_nano <= amount_nano and (reinstatement is null) = (reinstated_nano = 0))
);
create index dispute_of_payment on dispute (payment);
comment on table dispute is 'what a payment provider took back of a top-up, and what of that it gave again';
comment on column dispute.kind is 'returned: the operator paid the customer back at the provider; nobody disputes it';

create table early_notice (
    provider text not null,
    event_id text not null,
    payment_id text not null,
    payload text not null,
    received_at timestamptz not null default clock_timestamp(),
    primary key (provider, event_id)
);
create index early_notice_of_payment on early_notice (provider, payment_id);
comment on table early_notice is 'what a payment provider said of a payment that it has not announced yet: it waits for it';

create table credit (
    account bigint primary key references bucket_balance (account),
    holder text not null,
    seq bigint not null,
    posted bigint not null check (posted >= 0),
    has_lots boolean not null default false
);
create index credit_of_holder on credit (holder) where has_lots;
create index credit_with_lots on credit (account) where has_lots;
comment on table credit is 'how far a bucket''s moves were folded into its promotional lots: a bucket that never had any has no row';
comment on column credit.seq is 'the balance_move up to which the lots are up to date';

create table credit_lot (
    id uuid primary key,
    account bigint not null references credit (account),
    expires_at timestamptz not null,
    granted_nano positive_nano not null,
    left_nano nano not null,
    expired_nano nano not null default 0,
    is_open boolean not null default true,
    check (left_nano + expired_nano <= granted_nano and (is_open or left_nano = 0))
);
create index credit_lot_open on credit_lot (account) where is_open;
create index credit_lot_due on credit_lot (expires_at) where is_open;
comment on column credit_lot.id is 'the transaction that granted it';
comment on column credit_lot.is_open is 'something of it is left, in the bucket or in a run''s earmark';

create table credit_earmark (
    account bigint not null references credit (account),
    run text not null,
    lot uuid references credit_lot (id),
    amount_nano positive_nano not null,
    unique nulls not distinct (account, run, lot)
);
comment on table credit_earmark is 'from which lots a run''s earmark came; lot is null for paid money';

-- Transport ------------------------------------------------------------------------------------------------------------------

create table inbox (
    event_id uuid primary key,
    payload_hash bytea not null,
    topic text not null,
    partition integer not null,
    "offset" bigint not null
);

create table consumer_offset (
    topic text not null,
    partition integer not null,
    first bigint not null default 0 check (first >= 0),
    consumed bigint not null default 0 check (consumed >= 0),
    next bigint not null default 0,
    settled bigint not null default 0,
    lease text,
    owner text,
    lease_until timestamptz,
    primary key (topic, partition),
    check (next = first + consumed)
) with (fillfactor = 20);
comment on column consumer_offset.consumed is 'records read since first, without a gap: nobody moves next without saying what was read';
comment on column consumer_offset.settled is 'follows the last settling record: none lies between it and next';

create table dead_letter (
    topic text not null,
    partition integer not null,
    "offset" bigint not null,
    reason text not null,
    detail text not null,
    key bytea,
    type text not null,
    payload bytea,
    found_at timestamptz not null default clock_timestamp(),
    primary key (topic, partition, "offset")
);

create table outbox (
    id bigint generated always as identity primary key,
    topic text not null,
    key text not null,
    type text not null,
    ref uuid not null,
    payload text
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
comment on column outbox.payload is 'the event as JSON; null where the relay writes it from the hold that ref names';

create table outbox_published (
    topic text not null,
    type text not null,
    published bigint not null,
    primary key (topic, type)
) with (fillfactor = 20);
comment on table outbox_published is 'how many events of a type were acknowledged and removed from the outbox';

create table ingress (
    id bigint generated always as identity primary key,
    event_id uuid not null unique,
    topic text not null,
    key text not null,
    type text not null,
    value text not null,
    taken_at timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- The seal -------------------------------------------------------------------------------------------------------------------

create table seal_pending (
    id bigint generated always as identity primary key,
    txn uuid,
    account bigint,
    price_book integer,
    check (num_nonnulls(txn, account, price_book) = 1)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
comment on table seal_pending is 'what is committed and not sealed yet: written with it, so that nothing is ever skipped, however late it commits';

create table seal (
    seq bigint primary key check (seq >= 0),
    txn uuid,
    account bigint,
    price_book integer,
    salt bytea,
    hash bytea not null,
    check (num_nonnulls(txn, account, price_book) = 1)
);
create unique index seal_txn on seal (txn) where txn is not null;
create unique index seal_account on seal (account) where account is not null;
create unique index seal_price_book on seal (price_book) where price_book is not null;
comment on column seal.salt is 'hides the operator''s costs in what a customer is shown; null where the transaction has none';
comment on column seal.hash is 'the leaf''s hash: it covers the entry''s number, the hash before it, and every row that was committed with it';

create table seal_node (
    level smallint not null,
    number bigint not null,
    hash bytea not null,
    primary key (level, number)
);
comment on table seal_node is 'roots of perfect subtrees, of every eighth level only: a proof reads at most 255 hashes for eight levels';

create table seal_checkpoint (
    size bigint primary key check (size > 0),
    note text not null
);
comment on column seal_checkpoint.note is 'the signed checkpoint as it was published; kept outside of the database too';

create function await_seal() returns trigger language plpgsql as $$
begin
    case tg_table_name
        when 'txn' then insert into seal_pending (txn) select id from added;
        when 'account' then insert into seal_pending (account) select id from added;
        else insert into seal_pending (price_book) select version from added;
    end case;
    return null;
end
$$;
create trigger txn_awaits_seal after insert on txn referencing new table as added
    for each statement execute function await_seal();
create trigger account_awaits_seal after insert on account referencing new table as added
    for each statement execute function await_seal();
create trigger price_book_awaits_seal after insert on price_book referencing new table as added
    for each statement execute function await_seal();
create trigger seal_insert_only before update or delete or truncate on seal
    for each statement execute function refuse_change();
create trigger seal_node_insert_only before update or delete or truncate on seal_node
    for each statement execute function refuse_change();
create trigger seal_checkpoint_insert_only before update or delete or truncate on seal_checkpoint
    for each statement execute function refuse_change();

-- The hold function ----------------------------------------------------------------------------------------------------------
-- Decides and records many holds at once. Arrays, one element per hold unless said otherwise; positions count from 1.
--   p_bucket_*    the distinct buckets of the batch; p_bucket names one of them for each hold (0: none is known)
--   p_bucket_run  the run whose reserve the bucket is, empty for the customer's own
--   p_env_*       the distinct envelopes of the batch; p_env_account, p_env_bucket, p_env_project, p_env_key, p_env_run name them
--                 for each hold
--   p_run_id      the distinct runs of the batch; p_run names one of them for each hold, 0 for none
--   p_price_*     one (prompt, output) price in nano per million tokens for each candidate of the hold's bucket;
--                 those of hold i lie at p_price_first[i] .. p_price_last[i]
--   p_max_output  the client's own cap, null if it gave none
--   p_code        a refusal decided before, null if none, with the envelope that is frozen and the amount, where there is one
-- Returns one array per column, in the order of the holds. Raises TB001 when p_version is not the price book in force, and
-- unique_violation when a hold id has been decided before: the caller then asks for the stored answer.
-- Of a refusal o_held is what open holds occupy of what stopped it, and o_passing whether it would pass if they had all ended.

create function decide_holds(
    p_version integer, p_default_cap bigint, p_floor bigint,
    p_bucket_holder text[], p_bucket_name text[], p_bucket_run text[], p_run_id text[],
    p_env_holder text[], p_env_kind text[], p_env_entity text[], p_env_currency text[],
    p_id uuid[], p_request uuid[], p_holder text[], p_project text[], p_key text[], p_bucket integer[],
    p_bucket_id text[], p_currency text[], p_env_account integer[], p_env_bucket integer[],
    p_env_project integer[], p_env_key integer[], p_env_run integer[], p_run integer[],
    p_input bigint[], p_choices bigint[], p_max_output bigint[], p_model_max bigint[],
    p_price_first integer[], p_price_last integer[], p_price_input bigint[], p_price_output bigint[],
    p_deadline timestamptz[], p_code text[], p_code_envelope integer[], p_needed bigint[], p_detail text[],
    out o_state text[], out o_amount bigint[], out o_cap bigint[], out o_code text[], out o_envelope integer[],
    out o_window text[], out o_needed bigint[], out o_left bigint[], out o_resets timestamptz[],
    out o_held bigint[], out o_passing boolean[]
) language plpgsql as $$
declare
    n integer := cardinality(p_id);
    v_version integer;
    v_limited boolean := false;
    v_now timestamptz;
    v_day timestamptz;
    v_month timestamptz;
    v_envelopes integer := 0;
    b_account bigint[] := array_fill(null::bigint, array[cardinality(p_bucket_name)]);
    b_free bigint[] := array_fill(0::bigint, array[cardinality(p_bucket_name)]);
    b_room bigint[] := b_free;
    b_overrun bigint[] := b_free;
    b_added bigint[] := b_free;
    b_unfunded boolean[] := array_fill(false, array[cardinality(p_bucket_name)]);
    r_open boolean[] := array_fill(false, array[cardinality(p_run_id)]);
    e_head integer[] := array_fill(0, array[cardinality(p_env_kind)]);
    w_id bigint[]; w_kind text[]; w_limit bigint[]; w_room bigint[]; w_left bigint[]; w_added bigint[]; w_next integer[];
    o_account bigint[] := array_fill(null::bigint, array[n]);
    o_windows text[] := array_fill('{}'::text, array[n]);
    v_chain integer[];
    v_capped boolean;
    v_passing boolean;
    r record;
    e integer; b integer; w integer; rank integer; best integer;
    v_free bigint; v_cap bigint; v_floor bigint; v_least bigint; v_quarter bigint; v_whole bigint; v_prompt bigint;
    v_token bigint; v_amount bigint; v_stamp text;
begin
    -- One global order: buckets by account id, then windows by id. Everything else that moves balances keeps to it.
    for r in
        select u.i, k.account, k.posted, k.held, k.overrun, k.limited, k.funding
        from unnest(p_bucket_holder, p_bucket_name, p_bucket_run) with ordinality as u (holder, bucket, run, i)
        join bucket_balance k on k.holder = u.holder and k.bucket = u.bucket and k.run = u.run
        order by k.account for no key update of k
    loop
        b_account[r.i] := r.account;
        b_room[r.i] := r.posted;
        b_free[r.i] := r.posted - r.held;
        if r.funding = 'limit' then
            -- Its limit alone stops a cost centre, and one without a limit is stopped altogether.
            b_room[r.i] := 9000000000000000000;
            b_free[r.i] := 9000000000000000000;
            b_unfunded[r.i] := true;
        end if;
        b_overrun[r.i] := r.overrun;
        v_limited := v_limited or r.limited;
    end loop;
    -- One instant dates the holds and says which price book is in force: a book with a date counts from that very instant.
    v_now := clock_timestamp();
    select b.version into v_version from price_book b
    where (b.effective_from is null or b.effective_from <= v_now)
        and not exists (select from price_withdrawal w where w.version = b.version)
    order by coalesce(b.effective_from, b.published_at) desc, b.version desc limit 1;
    if p_version is distinct from v_version then
        raise exception 'price book % is not in force', p_version using errcode = 'TB001';
    end if;

    if cardinality(p_run_id) > 0 then
        -- Read under the buckets' locks: a run ends under them too.
        for r in
            select u.i, x.state = 'OPEN' and x.deadline_at > v_now as is_open
            from unnest(p_run_id) with ordinality as u (id, i) join run x on x.id = u.id
        loop
            r_open[r.i] := r.is_open;
        end loop;
    end if;

    if v_limited then
        select count(*) into v_envelopes
        from unnest(p_env_holder, p_env_kind, p_env_entity, p_env_currency) as u (holder, kind, entity, currency)
        join envelope l on l.holder = u.holder and l.kind = u.kind and l.entity = u.entity and l.currency = u.currency;
    end if;
    if v_envelopes > 0 then
        v_day := date_trunc('day', v_now, 'UTC');
        v_month := date_trunc('month', v_now, 'UTC');
        for attempt in 1..2 loop
            w_id := '{}'; w_kind := '{}'; w_limit := '{}'; w_room := '{}'; w_left := '{}'; w_added := '{}'; w_next := '{}';
            e_head := array_fill(0, array[cardinality(p_env_kind)]);
            for r in
                select u.i, s.id, l.window_kind, l.limit_nano, s.held, s.spent
                from unnest(p_env_holder, p_env_kind, p_env_entity, p_env_currency)
                    with ordinality as u (holder, kind, entity, currency, i)
                join envelope l on l.holder = u.holder and l.kind = u.kind and l.entity = u.entity and l.currency = u.currency
                join envelope_window s on s.envelope = l.id
                    and s.start_utc = case l.window_kind when 'day' then v_day when 'month' then v_month else 'epoch' end
                order by s.id for no key update of s
            loop
                w_id := w_id || r.id;
                w_kind := w_kind || r.window_kind;
                w_limit := w_limit || r.limit_nano;
                w_room := w_room || coalesce(r.limit_nano - r.spent, 9223372036854775807);
                w_left := w_left || coalesce(r.limit_nano - r.held - r.spent, 9223372036854775807);
                w_added := w_added || 0::bigint;
                w_next := w_next || e_head[r.i];
                e_head[r.i] := cardinality(w_id);
            end loop;
            exit when cardinality(w_id) = v_envelopes;
            -- The first use of a period. Two callers may meet here; the second finds the row of the first.
            insert into envelope_window (envelope, start_utc)
            select l.id, case l.window_kind when 'day' then v_day when 'month' then v_month else 'epoch' end
            from unnest(p_env_holder, p_env_kind, p_env_entity, p_env_currency) as u (holder, kind, entity, currency)
            join envelope l on l.holder = u.holder and l.kind = u.kind and l.entity = u.entity and l.currency = u.currency
            order by l.id on conflict do nothing;
        end loop;
    end if;

    o_state := array_fill('REFUSED'::text, array[n]);
    o_amount := array_fill(0::bigint, array[n]);
    o_cap := o_amount;
    o_code := p_code;
    o_envelope := p_code_envelope;
    o_window := array_fill(null::text, array[n]);
    o_needed := p_needed;
    o_left := array_fill(null::bigint, array[n]);
    o_resets := array_fill(null::timestamptz, array[n]);
    o_held := o_left;
    o_passing := array_fill(false, array[n]);
    for i in 1..n loop
        continue when p_code[i] is not null;
        b := p_bucket[i];
        o_account[i] := b_account[b];
        v_free := b_free[b];
        v_stamp := '';
        v_capped := false;
        if v_envelopes > 0 then
            v_chain := array[p_env_account[i], p_env_bucket[i], p_env_project[i], p_env_key[i]];
            if p_env_run[i] > 0 then
                v_chain := v_chain || p_env_run[i];
            end if;
            foreach e in array v_chain loop
                w := e_head[e];
                while w > 0 loop
                    v_free := least(v_free, w_left[w]);
                    v_capped := v_capped or (e = p_env_bucket[i] and w_limit[w] is not null);
                    w := w_next[w];
                end loop;
            end loop;
        end if;
        if b_unfunded[b] and not v_capped then
            v_free := 0;
        end if;

        -- The output cap: the client's own, or without one what a quarter of the free amount buys. Where that is less than the
        -- floor: the floor, or what of it the whole free amount buys. One token at least, so that only its price refuses.
        if p_max_output[i] is not null then
            v_cap := least(p_max_output[i], p_model_max[i]);
        else
            v_cap := least(p_default_cap, p_model_max[i]);
            v_floor := least(v_cap, p_floor);
            v_least := least(v_cap, 1);
            v_quarter := least(greatest(v_free, 0) / 4, 9000000000000) * 1000000;
            v_whole := least(greatest(v_free, 0), 9000000000000) * 1000000;
            for j in p_price_first[i]..p_price_last[i] loop
                if p_price_output[j] > 0 then
                    v_prompt := p_input[i] * p_price_input[j];
                    v_token := p_price_output[j] * p_choices[i];
                    v_cap := least(v_cap, (v_quarter - v_prompt) / v_token);
                    v_floor := least(v_floor, (v_whole - v_prompt) / v_token);
                end if;
            end loop;
            v_cap := greatest(v_cap, v_floor, v_least);
        end if;
        v_amount := 0;
        for j in p_price_first[i]..p_price_last[i] loop
            v_amount := greatest(v_amount,
                (p_input[i] * p_price_input[j] + v_cap * p_choices[i] * p_price_output[j] + 999999) / 1000000);
        end loop;

        if p_run[i] > 0 and not r_open[p_run[i]] then
            o_code[i] := 'run_closed';
            o_envelope[i] := p_env_run[i];
            continue;
        elsif p_bucket_run[b] <> '' and (b_overrun[b] > 0 or v_amount > b_free[b]) then
            o_code[i] := 'budget_exceeded';
            o_envelope[i] := p_env_run[i];
            o_window[i] := 'run';
            o_left[i] := b_free[b] - b_overrun[b];
            o_held[i] := b_room[b] - b_free[b];
        elsif b_unfunded[b] and not v_capped then
            o_code[i] := 'budget_exceeded';
            o_envelope[i] := p_env_bucket[i];
            o_window[i] := 'total';
            o_left[i] := 0;
        elsif b_overrun[b] > 0 then
            o_code[i] := 'insufficient_balance';
            o_left[i] := -b_overrun[b];
            o_held[i] := b_room[b] - b_free[b];
        elsif v_amount > b_free[b] then
            o_code[i] := 'insufficient_balance';
            o_left[i] := b_free[b];
            o_held[i] := b_room[b] - b_free[b];
        elsif v_amount > v_free then
            -- Name the limit that takes longest to lift: a total before a month before a day, the wider envelope first, and
            -- before all that open holds alone are in the way of one that stays too small when they have ended.
            best := 6;
            foreach e in array v_chain loop
                w := e_head[e];
                while w > 0 loop
                    rank := case w_kind[w] when 'day' then 2 when 'month' then 1 else 0 end
                        + case when v_amount > w_room[w] then 0 else 3 end;
                    if w_left[w] < v_amount and rank < best then
                        best := rank;
                        o_envelope[i] := e;
                        o_window[i] := w_kind[w];
                        o_left[i] := w_left[w];
                        o_held[i] := w_room[w] - w_left[w];
                        o_resets[i] := case rank % 3 when 2 then v_day + interval '1 day'
                            when 1 then (v_month at time zone 'UTC' + interval '1 month') at time zone 'UTC' end;
                    end if;
                    w := w_next[w];
                end loop;
            end loop;
            o_code[i] := 'budget_exceeded';
        else
            o_state[i] := 'HELD';
            o_amount[i] := v_amount;
            o_cap[i] := v_cap;
            b_free[b] := b_free[b] - v_amount;
            b_added[b] := b_added[b] + v_amount;
            if v_envelopes > 0 then
                foreach e in array v_chain loop
                    w := e_head[e];
                    while w > 0 loop
                        w_left[w] := w_left[w] - v_amount;
                        w_added[w] := w_added[w] + v_amount;
                        v_stamp := v_stamp || ',' || w_id[w];
                        w := w_next[w];
                    end loop;
                end loop;
                o_windows[i] := '{' || substr(v_stamp, 2) || '}';
            end if;
            continue;
        end if;
        o_needed[i] := v_amount;
        -- Whether it is open holds alone that are in the way: of the bucket, and of every limit around it.
        v_passing := b_overrun[b] = 0 and v_amount <= b_room[b] and not (b_unfunded[b] and not v_capped);
        if v_passing and v_envelopes > 0 then
            foreach e in array v_chain loop
                w := e_head[e];
                while w > 0 loop
                    v_passing := v_passing and v_amount <= w_room[w];
                    w := w_next[w];
                end loop;
            end loop;
        end if;
        o_passing[i] := v_passing;
    end loop;

    with placed as (
        insert into hold (
            id, request_id, holder, project_id, key_id, bucket, currency, account, state, amount_nano, price_version, output_cap,
            input_tokens_bound, windows, placed_at, deadline_at, expires_at, detail, refusal, run, reserved
        )
        select u.id, u.request, u.holder, u.project, u.key, u.bucket, u.currency, u.account, u.state, u.amount, p_version, u.cap,
            u.input, u.windows::bigint[], v_now, u.deadline, greatest(u.deadline, v_now), u.detail::json,
            case when u.state = 'REFUSED' then json_build_object(
                'code', u.code, 'kind', p_env_kind[u.envelope], 'entity', p_env_entity[u.envelope], 'window', u.window_kind,
                'needed_nano', u.needed, 'left_nano', u.left_nano, 'resets_at', u.resets,
                'held_nano', u.held, 'passing', u.passing) end,
            coalesce(p_run_id[u.run], ''), coalesce(p_bucket_run[u.bucket_at] <> '', false)
        from unnest(
            p_id, p_request, p_holder, p_project, p_key, p_bucket_id, p_currency, o_account, o_state, o_amount, o_cap, p_input,
            o_windows, p_deadline, p_detail, o_code, o_envelope, o_window, o_needed, o_left, o_resets, o_held, o_passing,
            p_run, p_bucket
        ) as u (
            id, request, holder, project, key, bucket, currency, account, state, amount, cap, input,
            windows, deadline, detail, code, envelope, window_kind, needed, left_nano, resets, held, passing,
            run, bucket_at
        )
        returning id, holder, state
    ), charged as (
        update bucket_balance k set held = k.held + u.added
        from unnest(b_account, b_added) as u (account, added) where k.account = u.account and u.added > 0
    )
    insert into outbox (topic, key, type, ref)
    select 'tollbook.ledger.v1', holder, case state when 'HELD' then 'HoldPlaced' else 'HoldRefused' end, id from placed;
    if v_envelopes > 0 then
        update envelope_window s set held = s.held + u.added, limit_at_last_hold = u.limit_nano
        from unnest(w_id, w_added, w_limit) as u (id, added, limit_nano) where s.id = u.id and u.added > 0;
    end if;
end
$$;

-- As processes of the release before call it: it goes one release later.
create function place_holds(
    p_version integer, p_default_cap bigint, p_floor bigint,
    p_bucket_holder text[], p_bucket_name text[], p_bucket_run text[], p_run_id text[],
    p_env_holder text[], p_env_kind text[], p_env_entity text[], p_env_currency text[],
    p_id uuid[], p_request uuid[], p_holder text[], p_project text[], p_key text[], p_bucket integer[],
    p_bucket_id text[], p_currency text[], p_env_account integer[], p_env_bucket integer[],
    p_env_project integer[], p_env_key integer[], p_env_run integer[], p_run integer[],
    p_input bigint[], p_choices bigint[], p_max_output bigint[], p_model_max bigint[],
    p_price_first integer[], p_price_last integer[], p_price_input bigint[], p_price_output bigint[],
    p_deadline timestamptz[], p_code text[], p_code_envelope integer[], p_needed bigint[], p_detail text[],
    out o_state text[], out o_amount bigint[], out o_cap bigint[], out o_code text[], out o_envelope integer[],
    out o_window text[], out o_needed bigint[], out o_left bigint[], out o_resets timestamptz[]
) language sql as $$
    select o_state, o_amount, o_cap, o_code, o_envelope, o_window, o_needed, o_left, o_resets
    from decide_holds(
        p_version, p_default_cap, p_floor, p_bucket_holder, p_bucket_name, p_bucket_run, p_run_id, p_env_holder,
        p_env_kind, p_env_entity, p_env_currency, p_id, p_request, p_holder, p_project, p_key, p_bucket,
        p_bucket_id, p_currency, p_env_account, p_env_bucket, p_env_project, p_env_key, p_env_run, p_run, p_input,
        p_choices, p_max_output, p_model_max, p_price_first, p_price_last, p_price_input, p_price_output,
        p_deadline, p_code, p_code_envelope, p_needed, p_detail
    )
$$;

-- Cases, dead letters and audits ---------------------------------------------------------------------------------------------
-- What migration 0012 adds to tables above stands here as it stands there.

alter table "case" add column closed_by text, add column decision text check (decision in ('charge_nothing', 'write_off')),
    add check ((closed_at is null) = (resolution is null) and (closed_at is null) = (closed_by is null)
        and (decision is null or closed_at is not null));
comment on column "case".decision is 'of an expired hold: what becomes of the exposure; neither moves money, late usage goes to write-off either way';

create table case_change (
    id bigint generated always as identity primary key,
    "case" uuid not null references "case" (id),
    kind text not null check (kind in ('assigned', 'closed')),
    author text not null,
    detail text not null,
    at timestamptz not null default clock_timestamp()
);
create index case_change_of_case on case_change ("case", id);
create trigger case_change_insert_only before update or delete or truncate on case_change
    for each statement execute function refuse_change();

alter table dead_letter add column tries integer not null default 0 check (tries >= 0), add column tried_at timestamptz,
    add column redriven_at timestamptz, add column redriven_by text, add column outcome text,
    add check ((redriven_at is null) = (redriven_by is null) and (redriven_at is null) = (outcome is null));
create index dead_letter_waiting on dead_letter (topic, partition, "offset") where redriven_at is null;
comment on column dead_letter.tries is 'how often it was read again and was still poison';
comment on column dead_letter.outcome is 'what the record came to when it was read again; it is settled in that transaction';

create table audit (
    id uuid primary key,
    kind text not null check (kind in ('check', 'rebuild')),
    state text not null check (state in ('running', 'done', 'failed')),
    author text not null,
    asked json not null,
    progress text not null default '',
    result json,
    error text,
    started_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    check ((state = 'running') = (ended_at is null) and (state = 'done') = (result is not null))
);
create unique index audit_one_at_a_time on audit (state) where state = 'running';
comment on table audit is 'checks and rebuildings of the ledger; a process of its own does each, and holds a lock while it lives';

alter table envelope add column changed_by text;

-- Claims -----------------------------------------------------------------------------------------------------------------------

create table request_claim (
    request_id uuid primary key,
    hold_id uuid not null,
    claimant text not null,
    claimed_at timestamptz not null default clock_timestamp()
);
comment on table request_claim is 'made once, while the hold is open and before the first upstream call; nobody but the claimant calls';
create trigger request_claim_insert_only before update or delete or truncate on request_claim
    for each statement execute function refuse_change();

-- Who may do what -------------------------------------------------------------------------------------------------------------

create table audit_entry (
    id uuid primary key,
    at timestamptz not null default clock_timestamp(),
    actor text not null,
    actor_name text not null,
    action text not null,
    entity_kind text not null,
    entity_id text not null,
    account_id text,
    before jsonb,
    after jsonb,
    reason text,
    request_id text not null,
    client_ip text
);
create index audit_entry_of_account on audit_entry (account_id, id);
create index audit_entry_of_entity on audit_entry (entity_kind, entity_id, id);
create index audit_entry_of_actor on audit_entry (actor, id);
comment on table audit_entry is 'one row for each change that somebody decided; account_id is null where it concerns the installation';
create trigger audit_entry_insert_only before update or delete or truncate on audit_entry
    for each statement execute function refuse_change();

create table admin_reply (
    actor text not null,
    path text not null,
    idempotency_key text not null,
    request_hash bytea not null,
    status integer not null,
    reply text not null,
    at timestamptz not null default clock_timestamp(),
    primary key (actor, path, idempotency_key)
);
comment on table admin_reply is 'kept for ever, as the keys of money are: the same call again is answered with it';
create trigger admin_reply_insert_only before update or delete or truncate on admin_reply
    for each statement execute function refuse_change();

-- Prices with a date, and exchange rates for reports ------------------------------------------------------------------------------

alter table price_book add column effective_from timestamptz, add column author text;
create index price_book_in_force on price_book (coalesce(effective_from, published_at), version);
comment on column price_book.effective_from is 'from when holds are priced by it; null for one that came into force when it was published';

create table price_withdrawal (
    version integer primary key references price_book (version),
    reason text not null,
    author text not null,
    withdrawn_at timestamptz not null default clock_timestamp()
);
comment on table price_withdrawal is 'price books that were taken back before they came into force';
create trigger price_withdrawal_insert_only before update or delete or truncate on price_withdrawal
    for each statement execute function refuse_change();

create table fx_rate (
    id bigint generated always as identity primary key,
    from_currency text not null,
    to_currency text not null,
    day date not null,
    rate text not null check (rate ~ '^[0-9]{1,12}([.][0-9]{1,18})?$'),
    source text not null,
    author text not null,
    set_at timestamptz not null default clock_timestamp(),
    check (from_currency <> to_currency)
);
create index fx_rate_of_day on fx_rate (from_currency, to_currency, day, id);
comment on table fx_rate is 'for reports alone: no hold and no posting reads it; the newest row of a pair and a day counts, the older ones are its history';
create trigger fx_rate_insert_only before update or delete or truncate on fx_rate
    for each statement execute function refuse_change();

-- An account's requests ------------------------------------------------------------------------------------------------------------

create index hold_of_holder on hold (holder, request_id);
