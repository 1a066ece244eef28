-- Accounts and projects may have a policy as keys do; NULL leaves everything to the envelopes around and within.
ALTER TABLE edge.account ADD COLUMN policy jsonb, ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE edge.project ADD COLUMN policy jsonb, ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE edge.api_key ALTER COLUMN policy DROP NOT NULL, ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
