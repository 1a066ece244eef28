-- name: record_of_migrations
CREATE TABLE IF NOT EXISTS schema_migration
(
    name String,
    sha256 String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY name
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1

-- name: applied_migrations
SELECT name, sha256 FROM schema_migration FINAL

-- name: engines_of_tables
SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'

-- name: replicated_tables
SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE 'Replicated%MergeTree'

-- name: store_id
SELECT store_id FROM store ORDER BY created_at, store_id LIMIT 1

-- name: name_store
INSERT INTO store (store_id) SELECT generateUUIDv4() WHERE (SELECT count() FROM store) = 0

-- name: counts_requests
SELECT count() AS rows, uniqExact(event_id) AS distinct_event_ids FROM requests FINAL

-- name: counts_attempts
SELECT count() AS rows, uniqExact(event_id) AS distinct_event_ids FROM attempts FINAL

-- name: counts_completions
SELECT count() AS rows, uniqExact(event_id) AS distinct_event_ids FROM completions FINAL

-- name: counts_ledger
SELECT count() AS rows, uniqExact(event_id) AS distinct_event_ids FROM ledger FINAL

-- name: counts_alerts
SELECT count() AS rows, uniqExact(event_id) AS distinct_event_ids FROM alerts FINAL

-- name: rejection
-- The instants bound the scan: a request id tells when it was minted.
SELECT occurred_at, environment, tags, run_id, project_id, key_id, key_name, client_api, requested_model, http_status, code, message,
    client_request_id
FROM requests FINAL
WHERE type = 'RequestRejected' AND account_id = {account_id:String} AND request_id = {request_id:UUID}
    AND occurred_at BETWEEN fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AND fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
LIMIT 1
