-- The reply of a done request, for the client that asks again under the same idempotency key.

ALTER TABLE edge.claim ADD COLUMN reply bytea;

COMMENT ON COLUMN edge.claim.reply IS 'sealed under TOLLBOOK_SECRETS_KEY; null for streams, long replies, and where a policy keeps none';
