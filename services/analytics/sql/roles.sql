-- What the service's database role may do. Run after every migration, by the owner of the tables.

-- name: make_role
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tollbook_analytics') THEN
        CREATE ROLE tollbook_analytics NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- roles belong to the whole cluster: another database's migration was first
END
$$;

-- name: grant_privileges
-- Nothing is deleted but by `forget`, which removes only what is old and over; what happened to alerts, who did what and the versions of the rules are written once.
DO $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('analytics/roles', 0));
    GRANT USAGE ON SCHEMA analytics TO tollbook_analytics;
    REVOKE ALL ON ALL TABLES IN SCHEMA analytics FROM tollbook_analytics;
    GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA analytics TO tollbook_analytics;
    REVOKE UPDATE ON analytics.alert_transition, analytics.audit_entry, analytics.alert_rules FROM tollbook_analytics;
    GRANT EXECUTE ON FUNCTION analytics.forget TO tollbook_analytics;
    -- The record of migrations is the owner's.
    REVOKE ALL ON analytics._yoyo_log, analytics._yoyo_migration, analytics._yoyo_version, analytics.yoyo_lock FROM tollbook_analytics;
END
$$;
