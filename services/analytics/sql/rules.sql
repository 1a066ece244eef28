-- name: lock_rules
SELECT pg_advisory_xact_lock(hashtextextended('analytics/alert_rules', 0))

-- name: rules_in_force
SELECT version, file, sha256, author, applied_at FROM analytics.alert_rules ORDER BY version DESC LIMIT 1

-- name: version_in_force
SELECT coalesce(max(version), 0) AS version FROM analytics.alert_rules

-- name: rules_of_version
SELECT version, file, sha256, author, applied_at FROM analytics.alert_rules WHERE version = %(version)s

-- name: rule_versions
SELECT version, sha256, author, applied_at FROM analytics.alert_rules
WHERE %(before)s::bigint IS NULL OR version < %(before)s
ORDER BY version DESC LIMIT %(limit)s

-- name: add_rules
INSERT INTO analytics.alert_rules (version, file, sha256, author)
VALUES (%(version)s, %(file)s, %(sha256)s, %(author)s)
RETURNING version, file, sha256, author, applied_at

-- name: take_schedule
-- A process that stands still while it judges loses its turn to the others.
SELECT pg_try_advisory_xact_lock(hashtextextended('analytics/schedule', 0)) AS taken,
    set_config('idle_in_transaction_session_timeout', '120s', true)
