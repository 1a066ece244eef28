"""A login of its own for each service, which may do what its service's role may do and no more.

python -m deploy.local.postgres.logins makes those that TOLLBOOK_{SETTLEMENT,ROUTER,EDGE,ANALYTICS}_DATABASE_URL name, in the
database of DATABASE_URL, whose user must be an administrator. Run it after the migrations, which make the roles.
"""

import os
import sys
from collections.abc import Mapping, Sequence

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import DuplicateObject, UndefinedObject, UniqueViolation
from psycopg.rows import TupleRow

from deploy.local.errors import StackError, StepFailedError
from deploy.local.processes import MIGRATIONS


def variable(service: str) -> str:
    """Return the name of the environment variable that holds the URL with which the service logs in."""
    return f"TOLLBOOK_{service.upper()}_DATABASE_URL"


def role(service: str) -> str:
    """Return the role that the service's migration makes and gives its privileges to."""
    return f"tollbook_{service}"


def urls_of(environ: Mapping[str, str], services: Sequence[str] = MIGRATIONS) -> dict[str, str]:
    """Return the services' own URLs that the environment names, by service."""
    return {service: environ[variable(service)] for service in services if environ.get(variable(service))}


def create(administrator_url: str, urls: Mapping[str, str]) -> None:
    """Make the user of each URL a login with its password and a member of its service's role; run again, it changes nothing.

    Raises StepFailedError where a role is missing, because its service was not migrated or could not be separated.
    """
    with psycopg.connect(administrator_url, autocommit=True) as connection:
        for service, url in urls.items():
            parts = conninfo_to_dict(url)
            user, password = parts.get("user"), parts.get("password")
            if not user or not password or user == connection.info.user:
                raise StepFailedError(f"{variable(service)} must name a user of its own and a password", "")
            try:
                _create(connection, str(user), str(password), role(service))
            except UndefinedObject as missing:
                raise StepFailedError(f"there is no role {role(service)}: migrate {service} first", str(missing)) from missing


def _create(connection: psycopg.Connection[TupleRow], user: str, password: str, member_of: str) -> None:
    # Only the verifier of the password is sent, so that no log of statements can hold the password itself.
    verifier = connection.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()
    names = {"user": sql.Identifier(user), "verifier": sql.Literal(verifier), "role": sql.Identifier(member_of)}
    try:
        connection.execute(sql.SQL("CREATE ROLE {user} LOGIN PASSWORD {verifier}").format(**names))
    except (DuplicateObject, UniqueViolation):
        connection.execute(sql.SQL("ALTER ROLE {user} LOGIN PASSWORD {verifier}").format(**names))
    connection.execute(sql.SQL("GRANT {role} TO {user}").format(**names))


def main() -> None:
    """Make the logins that the environment names."""
    urls = urls_of(os.environ)
    try:
        create(os.environ["DATABASE_URL"], urls)
    except StackError as error:
        sys.exit(str(error))
    sys.stdout.write(f"logins: {', '.join(sorted(urls)) or 'none is named'}\n")


if __name__ == "__main__":
    main()
