-- name: take_lease
SELECT pg_try_advisory_lock(hashtext('tollbook.analytics.loader'), hashtext(%(store_id)s::text))

-- name: open_store
INSERT INTO analytics.loader (store_id) VALUES (%(store_id)s) ON CONFLICT (store_id) DO NOTHING

-- name: read_store
SELECT batch_no, pending FROM analytics.loader WHERE store_id = %(store_id)s

-- name: read_positions
SELECT topic, partition, next_offset FROM analytics.loader_position WHERE store_id = %(store_id)s

-- name: begin_batch
UPDATE analytics.loader
SET batch_no = %(next_batch_no)s, pending = %(pending)s, updated_at = now()
WHERE store_id = %(store_id)s AND batch_no = %(batch_no)s AND pending IS NULL

-- name: finish_batch
UPDATE analytics.loader
SET pending = NULL, updated_at = now()
WHERE store_id = %(store_id)s AND batch_no = %(batch_no)s AND pending IS NOT NULL

-- name: advance_positions
INSERT INTO analytics.loader_position (store_id, topic, partition, next_offset)
SELECT %(store_id)s, * FROM unnest(%(topics)s::text[], %(partitions)s::integer[], %(offsets)s::bigint[])
ON CONFLICT (store_id, topic, partition) DO UPDATE SET next_offset = excluded.next_offset
