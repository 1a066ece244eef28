-- What the loader asks of the store about a batch. Literals of ids take the place of `$ids`: they are too many for parameters.

-- name: known
SELECT event_id FROM $table
WHERE event_id IN (SELECT toUUID(arrayJoin(splitByChar(',', '$ids')))) AND batch != {batch:UInt64}
    AND occurred_at BETWEEN fromUnixTimestamp64Micro({first_us:Int64}, 'UTC') AND fromUnixTimestamp64Micro({last_us:Int64}, 'UTC')

-- name: known_at_any_time
-- An alert that is published again may carry another instant.
SELECT event_id FROM $table WHERE event_id IN (SELECT toUUID(arrayJoin(splitByChar(',', '$ids')))) AND batch != {batch:UInt64}

-- name: rows_of_batch
SELECT event_id FROM $table WHERE batch = {batch:UInt64}

-- name: months_of_rollup
-- A month's part of a batch is inserted whole or not at all; later batches only raise the number.
SELECT DISTINCT toYYYYMM(at) AS month FROM $table WHERE batch >= {batch:UInt64}

-- name: last_batch
SELECT max(batch) AS batch FROM $table

-- name: days_of_old_rows
SELECT DISTINCT toUnixTimestamp(toStartOfDay(occurred_at)) AS day_s FROM $table WHERE batch = 0 ORDER BY day_s

-- name: days_of_rollup
SELECT DISTINCT toUnixTimestamp(toStartOfDay(at)) AS day_s FROM $table
