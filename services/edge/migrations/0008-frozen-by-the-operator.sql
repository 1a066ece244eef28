-- Whoever runs the installation freezes for its own reasons: an owner cannot lift that.
ALTER TABLE edge.account ADD COLUMN frozen_by_operator boolean NOT NULL DEFAULT false;
ALTER TABLE edge.project ADD COLUMN frozen_by_operator boolean NOT NULL DEFAULT false;
ALTER TABLE edge.api_key ADD COLUMN frozen_by_operator boolean NOT NULL DEFAULT false;
