-- Records that were set aside, and reading them again.

-- name: dead_letters
-- The oldest places first; `after` is the last place of the page before.
select topic, partition, "offset", reason, detail, convert_from(key, 'SQL_ASCII') as key, type, octet_length(payload) as bytes, found_at,
    tries, tried_at, redriven_at, redriven_by, outcome
from dead_letter
where (%(waiting)s::boolean is null or (redriven_at is null) = %(waiting)s)
    and (%(reason)s::text is null or reason = %(reason)s)
    and (topic, partition, "offset") > (%(topic)s, %(partition)s, %(offset)s)
order by topic, partition, "offset" limit %(limit)s;

-- name: dead_letter
select topic, partition, "offset", reason, detail, key, type, payload, octet_length(payload) as bytes, found_at, tries, tried_at,
    redriven_at, redriven_by, outcome
from dead_letter where topic = %(topic)s and partition = %(partition)s and "offset" = %(offset)s;

-- name: reasons
select reason, count(*) filter (where redriven_at is null) as waiting, count(*) filter (where redriven_at is not null) as redriven
from dead_letter group by reason order by reason;

-- name: waiting_letters
select partition, "offset", key, payload, type from dead_letter
where topic = %(topic)s and redriven_at is null and (%(reason)s::text is null or reason = %(reason)s)
    and (partition, "offset") > (%(partition)s, %(offset)s)
order by partition, "offset" limit %(limit)s;

-- name: waiting_letter
select partition, "offset", key, payload, type from dead_letter
where topic = %(topic)s and partition = %(partition)s and "offset" = %(offset)s and redriven_at is null;

-- name: mark_redriven
-- Together with what the record comes to. Whoever comes second changes no row, and rolls back.
update dead_letter set redriven_at = clock_timestamp(), redriven_by = %(author)s, outcome = %(outcome)s, tried_at = clock_timestamp()
where topic = %(topic)s and partition = %(partition)s and "offset" = %(offset)s and redriven_at is null;

-- name: still_poison
update dead_letter d set tries = d.tries + 1, tried_at = clock_timestamp(), reason = u.reason, detail = u.detail
from unnest(%(partitions)s::integer[], %(offsets)s::bigint[], %(reasons)s::text[], %(details)s::text[])
    as u (partition, "offset", reason, detail)
where d.topic = %(topic)s and d.partition = u.partition and d."offset" = u."offset" and d.redriven_at is null;
