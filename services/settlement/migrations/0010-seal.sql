-- The seal: entries of the ledger's tree, its signed checkpoints, and the queue of what is not sealed yet.

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

-- What was committed before there was a seal is sealed in the order in which it came.
insert into seal_pending (account) select id from account order by id;
insert into seal_pending (price_book) select version from price_book order by version;
insert into seal_pending (txn) select id from txn order by committed_at, id;
