-- Price books and when they count. Nothing here is on the way of a hold.

-- name: lock_price_books
-- Not a lock of the table: that would need the privilege to change rows that are written once.
select pg_advisory_xact_lock(hashtextextended(current_schema() || '/price_book', 0));

-- name: book_at
-- What is, or will be, in force at an instant (null or passed: now) as far as is known, and whether it lies ahead.
select b.version, b.sha256, b.document, coalesce(%(at)s::timestamptz, now.at), coalesce(%(at)s > now.clock + %(lead_s)s * interval '1 second', false)
from (select c.clock, greatest(%(at)s::timestamptz, c.clock) as at from (select clock_timestamp() as clock) c) now
left join lateral (
    select * from price_book b
    where (b.effective_from is null or b.effective_from <= now.at)
        and not exists (select from price_withdrawal w where w.version = b.version)
    order by coalesce(b.effective_from, b.published_at) desc, b.version desc limit 1
) b on true;

-- name: book_beginning_at
-- Of one that is withdrawn, the instant is free again. Publishing waits for `lock_price_books`, so that the answer holds.
select b.version from price_book b
where b.effective_from = %(at)s::timestamptz and not exists (select from price_withdrawal w where w.version = b.version)
order by b.version limit 1;

-- name: publish_price_book
-- A book without a date is newer than every other that counts by now, whatever the clock says.
insert into price_book (version, sha256, document, published_at, effective_from, author)
select coalesce((select max(version) from price_book), 0) + 1, %(sha256)s, %(document)s,
    greatest(clock_timestamp(), (
        select max(coalesce(b.effective_from, b.published_at)) + interval '1 microsecond' from price_book b
        where (b.effective_from is null or b.effective_from <= clock_timestamp())
            and not exists (select from price_withdrawal w where w.version = b.version)
    )), %(effective_from)s::timestamptz, %(author)s
returning version, published_at;

-- name: withdraw_price_book
-- Only while its date is far enough ahead: nobody has priced anything by it.
insert into price_withdrawal (version, reason, author)
select version, %(reason)s, %(author)s from price_book
where version = %(version)s and effective_from > clock_timestamp() + %(lead_s)s * interval '1 second';

-- name: price_books
select b.version, b.sha256, json_array_length(b.document -> 'items') as items, b.published_at, b.effective_from, b.author,
    w.withdrawn_at, w.author as withdrawn_by, w.reason as withdrawn_because,
    (select n.version from price_book n
        where (n.effective_from is null or n.effective_from <= clock_timestamp())
            and not exists (select from price_withdrawal x where x.version = n.version)
        order by coalesce(n.effective_from, n.published_at) desc, n.version desc limit 1) as in_force,
    (select min(coalesce(n.effective_from, n.published_at)) from price_book n
        where (coalesce(n.effective_from, n.published_at), n.version) > (coalesce(b.effective_from, b.published_at), b.version)
            and not exists (select from price_withdrawal x where x.version = n.version)) as until,
    coalesce(b.effective_from > clock_timestamp(), false) as ahead
from price_book b left join price_withdrawal w on w.version = b.version
where (%(version)s::integer is null or b.version = %(version)s) and (%(after)s::integer is null or b.version < %(after)s)
order by b.version desc limit %(limit)s;

-- name: price_books_ahead
-- What comes into force by its date, in that order, and how soon.
select b.version, b.sha256, b.document, b.effective_from,
    greatest(ceil(extract(epoch from b.effective_from - clock_timestamp()) * 1000), 0)::bigint as starts_in_ms
from price_book b
where b.effective_from > clock_timestamp() and not exists (select from price_withdrawal w where w.version = b.version)
order by b.effective_from, b.version limit 20;
