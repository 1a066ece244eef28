-- Who froze, unfroze, revoked, or gave another policy, and why: the last one beside the entity, every one in a record that only grows.
ALTER TABLE edge.account ADD COLUMN updated_by text;
ALTER TABLE edge.project ADD COLUMN updated_by text;
ALTER TABLE edge.api_key ADD COLUMN updated_by text;

CREATE TABLE edge.change (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('account', 'project', 'key')),
    entity_id text NOT NULL,
    version bigint NOT NULL,
    what text NOT NULL CHECK (what IN ('frozen', 'unfrozen', 'policy', 'revoked')),
    author text NOT NULL,
    reason text,
    policy jsonb,
    at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (kind, entity_id, version)
);
