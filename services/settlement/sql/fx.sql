-- Exchange rates for reports. Nothing on the way of money reads them.

-- name: lock_rates
select pg_advisory_xact_lock(hashtextextended(current_schema() || '/fx_rate', 0));

-- name: rates_in_force
select distinct on (from_currency, to_currency, day) from_currency, to_currency, day, rate, source from fx_rate
where (from_currency = any(%(currencies)s::text[]) or to_currency = any(%(currencies)s::text[])) and day between %(since)s and %(until)s
order by from_currency, to_currency, day, id desc;

-- name: rates_of
select distinct on (r.from_currency, r.to_currency, r.day) r.from_currency, r.to_currency, r.day, r.rate, r.source
from unnest(%(from_currencies)s::text[], %(to_currencies)s::text[], %(days)s::date[]) as u (from_currency, to_currency, day)
join fx_rate r using (from_currency, to_currency, day)
order by r.from_currency, r.to_currency, r.day, r.id desc;

-- name: set_rates
insert into fx_rate (from_currency, to_currency, day, rate, source, author)
select u.from_currency, u.to_currency, u.day, u.rate, u.source, %(author)s
from unnest(%(from_currencies)s::text[], %(to_currencies)s::text[], %(days)s::date[], %(rates)s::text[], %(sources)s::text[])
    with ordinality as u (from_currency, to_currency, day, rate, source, i)
order by u.i;

-- name: rates
select r.id, r.from_currency, r.to_currency, r.day, r.rate, r.source, r.author, r.set_at,
    (select min(n.set_at) from fx_rate n
        where n.from_currency = r.from_currency and n.to_currency = r.to_currency and n.day = r.day and n.id > r.id) as superseded_at
from fx_rate r
where (%(from_currency)s::text is null or r.from_currency = %(from_currency)s)
    and (%(to_currency)s::text is null or r.to_currency = %(to_currency)s)
    and (%(since)s::date is null or r.day >= %(since)s) and (%(until)s::date is null or r.day <= %(until)s)
    and (%(after)s::bigint is null or r.id < %(after)s)
    and (%(history)s or not exists (select from fx_rate n
        where n.from_currency = r.from_currency and n.to_currency = r.to_currency and n.day = r.day and n.id > r.id))
order by r.id desc limit %(limit)s;
