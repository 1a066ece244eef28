-- Cases that a person decides, dead letters that are read again, and audits of the whole ledger.

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
