"""`python -m services.analytics.migrate`: bring analytics' schema in Postgres up to date.

ClickHouse's migrations are applied by the process that owns the store (`services.analytics`), as an embedded engine
admits one process only.
"""

import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from yoyo import get_backend, read_migrations

from services.analytics.roles import separate
from services.analytics.settings import MigrationSettings

MIGRATIONS_DIR = Path(__file__).parent / "migrations"
SCHEMA = "analytics"


def migrate(database_url: str) -> None:
    """Apply every migration that was not applied yet, then grant the service's role its privileges.

    Concurrent callers wait for each other. Where this login may not separate the role, everything works without, and one
    line says what to do.
    """
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    backend = get_backend(yoyo_url(database_url))
    try:
        with backend.lock():
            backend.apply_migrations(backend.to_apply(read_migrations(str(MIGRATIONS_DIR))))
    finally:
        backend.connection.close()
    with psycopg.connect(database_url, autocommit=True) as connection:
        if obstacle := separate(connection):
            sys.stderr.write(f"analytics: {obstacle}\n")


def yoyo_url(database_url: str) -> str:
    """The same database through psycopg 3, with yoyo's own tables in our schema."""
    parts = urlsplit(database_url)
    query = "&".join(filter(None, [parts.query, f"schema={SCHEMA}"]))
    return urlunsplit(parts._replace(scheme="postgresql+psycopg", query=query))


if __name__ == "__main__":
    migrate(MigrationSettings().database_url)
