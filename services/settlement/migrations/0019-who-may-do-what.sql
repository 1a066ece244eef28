-- Who changed what, written in the transaction of the change; and the answers of changes that came under an idempotency key.
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
