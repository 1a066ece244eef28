-- What the service's database role and an auditor's may do. Run after every migration, by the owner of the tables.

-- name: make_roles
do $$
declare
    wanted text;
begin
    foreach wanted in array array['tollbook_settlement', 'tollbook_auditor'] loop
        if not exists (select from pg_roles where rolname = wanted) then
            begin
                execute format('create role %I nologin', wanted);
            exception when duplicate_object or unique_violation then
                null; -- roles belong to the whole cluster: another database's migration was first
            end;
        end if;
    end loop;
end
$$;

-- name: grant_privileges
-- The service reads, writes and changes rows; it defines nothing, and deletes only what is listed here.
do $$
declare
    -- Rows that are written once. So is whatever has the trigger that refuses changes.
    insert_only constant text[] := array['txn', 'posting', 'balance_move', 'price_book', 'inbox'];
    -- Rows that leave when their work is done.
    cleared constant text[] := array['outbox', 'ingress', 'seal_pending', 'credit_earmark', 'early_notice'];
    one record;
begin
    perform pg_advisory_xact_lock(hashtextextended('settlement/roles', 0));
    grant usage on schema settlement to tollbook_settlement, tollbook_auditor;
    grant usage, create on schema settlement_shadow to tollbook_settlement;
    revoke all on all tables in schema settlement from tollbook_settlement, tollbook_auditor;
    for one in
        select c.relname as name, c.relname = any(insert_only) or exists (
            select from pg_trigger t join pg_proc p on p.oid = t.tgfoid where t.tgrelid = c.oid and p.proname = 'refuse_change'
        ) as is_insert_only
        from pg_class c
        where c.relnamespace = 'settlement'::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and c.relname !~ '^_?yoyo'
    loop
        execute format('grant select on settlement.%I to tollbook_auditor', one.name);
        execute format('grant select, insert on settlement.%I to tollbook_settlement', one.name);
        if not one.is_insert_only then
            execute format('grant update on settlement.%I to tollbook_settlement', one.name);
        end if;
        if one.name = any(cleared) then
            execute format('grant delete on settlement.%I to tollbook_settlement', one.name);
        end if;
    end loop;
end
$$;
