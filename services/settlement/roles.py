"""The service's database role and the auditor's: made, and given exactly their privileges, after every migration."""

import psycopg
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import TupleRow

from services.settlement.statements import statements

NOT_SEPARATED = (
    "the service is not separated from its tables: {reason}. As an administrator, CREATE ROLE tollbook_settlement and"
    " tollbook_auditor; migrate again as the owner of the tables, and let the service log in as a member of the first"
)


def separate(connection: psycopg.Connection[TupleRow]) -> str | None:
    """Grant both roles what `sql/roles.sql` says. What to do where this login may not, None where it is done."""
    try:
        with connection.transaction():
            for name in ("make_roles", "grant_privileges"):
                connection.execute(statements("roles.sql")[name])
    except InsufficientPrivilege as error:
        return NOT_SEPARATED.format(reason=error.diag.message_primary)
    return None
