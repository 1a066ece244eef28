"""The service's database role: made, and given exactly its privileges, after every migration."""

import psycopg
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import TupleRow

from services.router.queries import queries

NOT_SEPARATED = (
    "the service is not separated from its tables: {reason}. As an administrator, CREATE ROLE tollbook_router; migrate again"
    " as the owner of the tables, and let the service log in as a member of that role"
)


def separate(connection: psycopg.Connection[TupleRow]) -> str | None:
    """Grant the role what `sql/roles.sql` says. What to do where this login may not, None where it is done."""
    try:
        with connection.transaction():
            for name in ("make_role", "grant_privileges"):
                connection.execute(queries("roles.sql")[name])
    except InsufficientPrivilege as error:
        return NOT_SEPARATED.format(reason=error.diag.message_primary)
    return None
