-- Who reads which partition, and where it goes on.

-- name: add_partitions
insert into consumer_offset (topic, partition) select %(topic)s, p from unnest(%(partitions)s::integer[]) as p
on conflict do nothing;

-- name: take_leases
-- A worker takes what is free or expired; at its start also what its own name held: it is the successor of the process that died.
update consumer_offset
set lease = %(lease)s, owner = %(owner)s, lease_until = clock_timestamp() + %(lease_s)s * interval '1 second'
where topic = %(topic)s and partition = any(%(partitions)s::integer[])
    and (lease is null or lease = %(lease)s or lease_until < clock_timestamp() or (%(starting)s and owner = %(owner)s))
returning partition, next, settled;

-- name: release_leases
update consumer_offset set lease = null, lease_until = null where topic = %(topic)s and lease = %(lease)s;

-- name: offsets
select partition, next from consumer_offset where topic = %(topic)s order by partition;
