-- What the service's database role may do. Run after every migration, by the owner of the tables.

-- name: make_role
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tollbook_edge') THEN
        CREATE ROLE tollbook_edge NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- roles belong to the whole cluster: another database's migration was first
END
$$;

-- name: grant_privileges
-- Rows of claims, stored replies and the control outbox go when their time is over, a role when it is taken; nothing else is deleted.
DO $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('edge/roles', 0));
    GRANT USAGE ON SCHEMA edge TO tollbook_edge;
    REVOKE ALL ON ALL TABLES IN SCHEMA edge FROM tollbook_edge;
    GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA edge TO tollbook_edge;
    GRANT DELETE ON edge.claim, edge.admin_reply, edge.control_outbox, edge.role_grant TO tollbook_edge;
    -- Who changed what is written once.
    REVOKE UPDATE ON edge.change, edge.audit_entry FROM tollbook_edge;
    -- A role is given and taken, never turned into another.
    REVOKE UPDATE ON edge.role_grant FROM tollbook_edge;
    -- The record of migrations is the owner's.
    REVOKE ALL ON edge._yoyo_log, edge._yoyo_migration, edge._yoyo_version, edge.yoyo_lock FROM tollbook_edge;
END
$$;
