-- Usage by run is read from the raw rows, which no rollup can stand for: the index finds a run's among them.
ALTER TABLE completions ADD INDEX IF NOT EXISTS run_index run_id TYPE bloom_filter GRANULARITY 1;
ALTER TABLE ledger ADD INDEX IF NOT EXISTS run_index run_id TYPE bloom_filter GRANULARITY 1;
