-- What open holds occupy in the way of a hold that is refused, and whether they alone are in its way.

-- The hold function under a new name, since it answers more: the old name goes on as processes of the release before call it.
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

create or replace function place_holds(
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
