"""`python -m services.settlement.migrate`: bring the database to today's schema."""

import sys
from pathlib import Path

import psycopg
from psycopg import sql
from yoyo import get_backend, read_migrations

from services.settlement.database import SCHEMA, yoyo_url
from services.settlement.roles import separate
from services.settlement.settings import Settings

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(database_url: str) -> int:
    """Apply what is missing, under yoyo's lock, then grant the roles their privileges. Returns how many were applied.

    Where this login may not separate the roles, everything works without, and one line says what to do.
    """
    with psycopg.connect(database_url, autocommit=True, connect_timeout=10) as connection:
        connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(SCHEMA)))
    backend = get_backend(yoyo_url(database_url))
    try:
        migrations = read_migrations(str(MIGRATIONS))
        with backend.lock():
            missing = backend.to_apply(migrations)
            backend.apply_migrations(missing)
    finally:
        backend.connection.close()
    with psycopg.connect(database_url, autocommit=True, connect_timeout=10) as connection:
        if obstacle := separate(connection):
            print(f"settlement: {obstacle}", file=sys.stderr)
    return len(missing)


def main() -> None:
    """Entry point of the command."""
    applied = migrate(Settings().database_url)
    print(f"settlement: {applied} migration(s) applied")


if __name__ == "__main__":
    main()
