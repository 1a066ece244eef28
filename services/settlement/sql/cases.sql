-- What the ledger could not decide by itself.

-- name: cases
select c.id, c.kind, c.holder, c.request_id, c.hold_id, c.currency, c.exposure_nano, c.detail, c.owner, c.opened_at, c.due_at,
    c.closed_at, c.resolution, c.closed_by, c.decision, c.closed_at is null and c.due_at < clock_timestamp() as overdue,
    extract(epoch from coalesce(c.closed_at, clock_timestamp()) - c.opened_at)::bigint as age_s
from "case" c
where (%(open)s::boolean is null or (c.closed_at is null) = %(open)s)
    and (%(owner)s::text is null or c.owner = %(owner)s) and (%(kind)s::text is null or c.kind = %(kind)s)
    and (not %(overdue)s or (c.closed_at is null and c.due_at < clock_timestamp()))
    and (%(after)s::uuid is null or (c.opened_at, c.id) < (select p.opened_at, p.id from "case" p where p.id = %(after)s))
order by c.opened_at desc, c.id desc limit %(limit)s;

-- name: case
select c.id, c.kind, c.holder, c.request_id, c.hold_id, c.currency, c.exposure_nano, c.detail, c.owner, c.opened_at, c.due_at,
    c.closed_at, c.resolution, c.closed_by, c.decision, c.closed_at is null and c.due_at < clock_timestamp() as overdue,
    extract(epoch from coalesce(c.closed_at, clock_timestamp()) - c.opened_at)::bigint as age_s
from "case" c where c.id = %(id)s;

-- name: lock_case
select kind, holder, request_id, owner, closed_at, resolution, closed_by, decision from "case" where id = %(id)s for update;

-- name: changes
select kind, author, detail, at from case_change where "case" = %(id)s order by id;

-- name: add_change
insert into case_change ("case", kind, author, detail) values (%(id)s, %(kind)s, %(author)s, %(detail)s);

-- name: assign
update "case" set owner = %(owner)s where id = %(id)s;

-- name: close
update "case" set closed_at = clock_timestamp(), resolution = %(resolution)s, closed_by = %(author)s, decision = %(decision)s
where id = %(id)s and closed_at is null;
