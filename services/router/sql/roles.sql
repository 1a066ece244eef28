-- What the service's database role may do. Run after every migration, by the owner of the tables.

-- name: make_role
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tollbook_router') THEN
        CREATE ROLE tollbook_router NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- roles belong to the whole cluster: another database's migration was first
END
$$;

-- name: grant_privileges
-- Route tables and their keys are written once: a change is a new version. Only how a secret is sealed may change, when the
-- operator's key does.
DO $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('router/roles', 0));
    GRANT USAGE ON SCHEMA router TO tollbook_router;
    REVOKE ALL ON ALL TABLES IN SCHEMA router FROM tollbook_router;
    GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA router TO tollbook_router;
    GRANT UPDATE (nonce, sealed, form, key_id) ON router.channel_key TO tollbook_router;
    GRANT UPDATE (fingerprint) ON router.route_table TO tollbook_router;
    -- A batch goes on; its lines and what was asked of it are written once.
    GRANT UPDATE ON router.batch TO tollbook_router;
    -- What is frozen may be used again, and what is announced has left. The log of changes is written once.
    GRANT UPDATE ON router.channel_freeze TO tollbook_router;
    GRANT DELETE ON router.control_outbox TO tollbook_router;
    -- The record of migrations is the owner's.
    REVOKE ALL ON router._yoyo_log, router._yoyo_migration, router._yoyo_version, router.yoyo_lock FROM tollbook_router;
END
$$;
