-- The accounts whose roles the maker of a token could give when it was made, '*' for every role of the installation: a role elsewhere ends it.
ALTER TABLE edge.access_token ADD COLUMN vouched_for text[] NOT NULL DEFAULT '{}';
UPDATE edge.access_token t SET vouched_for = CASE WHEN t.created_by = 'admin' THEN '{*}'::text[] ELSE (
    SELECT coalesce(array_agg(DISTINCT coalesce(g.account_id, '*')), '{}') FROM edge.role_grant g
    WHERE g.user_id = split_part(t.created_by, ' ', 1) AND g.user_id <> t.user_id AND g.role IN ('operator', 'owner')
) END;

-- Whoever runs the installation ends a user for its own reasons: an owner cannot lift that.
ALTER TABLE edge.admin_user ADD COLUMN deactivated_by_operator boolean NOT NULL DEFAULT false;
