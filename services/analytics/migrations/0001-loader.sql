-- The loader's place in each ClickHouse store. `batch_no` counts recorded batches; `pending` is the batch whose insert has
-- begun and is not known to be done, as [topic, partition, first, last] rows: it is inserted again under the same tokens.
CREATE TABLE analytics.loader (
    store_id uuid PRIMARY KEY,
    batch_no bigint NOT NULL DEFAULT 0 CHECK (batch_no >= 0),
    pending jsonb,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- The next offset to load of each partition: all before it are rows.
CREATE TABLE analytics.loader_position (
    store_id uuid NOT NULL REFERENCES analytics.loader,
    topic text NOT NULL,
    partition integer NOT NULL CHECK (partition >= 0),
    next_offset bigint NOT NULL CHECK (next_offset >= 0),
    PRIMARY KEY (store_id, topic, partition)
);
