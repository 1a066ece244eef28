"""`python -m services.router.migrate` brings router's tables to today's shape. Running it twice changes nothing."""

import os
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg
from yoyo import get_backend, read_migrations

from services.router.roles import separate

SCHEMA = "router"
MIGRATIONS_DIR = Path(__file__).parent / "migrations"


def migrate(database_url: str) -> list[str]:
    """Apply what is missing, grant the service's role its privileges, and return the names of what was applied.

    Where this login may not separate the role, everything works without, and one line says what to do.
    """
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    backend = get_backend(yoyo_url(database_url))
    try:
        with backend.lock():
            missing = backend.to_apply(read_migrations(str(MIGRATIONS_DIR)))
            backend.apply_migrations(missing)
    finally:
        backend.connection.close()
    with psycopg.connect(database_url, autocommit=True) as connection:
        if obstacle := separate(connection):
            sys.stderr.write(f"router: {obstacle}\n")
    return [migration.id for migration in missing]


def yoyo_url(database_url: str) -> str:
    """The URL as yoyo wants it: psycopg 3, its own tables in router's schema."""
    parts = urlsplit(database_url)
    query = urlencode([*parse_qsl(parts.query), ("schema", SCHEMA)])
    return urlunsplit(("postgresql+psycopg", parts.netloc, parts.path, query, ""))


def main() -> None:
    """Migrate the database of `DATABASE_URL`."""
    database_url = os.environ.get("DATABASE_URL")
    if not database_url:
        sys.exit("set DATABASE_URL to the Postgres that router uses")
    applied = migrate(database_url)
    sys.stdout.write(f"router: {', '.join(applied) or 'nothing to migrate'}\n")


if __name__ == "__main__":
    main()
