"""Old processes work on new tables: every migration adds, so that an upgrade can run while they serve."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from yoyo import get_backend, read_migrations
from yoyo.migrations import MigrationList

import services
from services.analytics.migrate import yoyo_url as analytics_url
from services.edge.migrate import yoyo_url as edge_url
from services.router.migrate import yoyo_url as router_url
from services.settlement.database import yoyo_url as settlement_url
from tests.integration.stack.additive import Shape, broken, shape_of

SERVICES = Path(services.__path__[0])
URLS: dict[str, Callable[[str], str]] = {
    "analytics": analytics_url,
    "edge": edge_url,
    "router": router_url,
    "settlement": settlement_url,
}
EXCEPTIONS = {
    "settlement/0003-runs": "before the first release: nobody upgrades across it",
    "settlement/0012-cases": "before the first release, and nothing wrote what it refuses",
}
"""Migrations that old code does not survive. A new one belongs here only with a reason, and stops the stack (make down up)."""


@contextmanager
def migrations(database_url: str, service: str) -> Iterator[tuple[Any, list[Any], psycopg.Connection[Any]]]:
    """yoyo's backend, the service's migrations in order, and a connection that looks on."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {service}".encode())
        backend = get_backend(URLS[service](database_url))
        try:
            yield backend, list(read_migrations(str(SERVICES / service / "migrations"))), connection
        finally:
            backend.connection.close()


@pytest.mark.parametrize("service", sorted(URLS))
def test_no_migration_takes_away_what_the_release_before_works_with(database_url: str, service: str) -> None:
    wrong: dict[str, list[str]] = {}
    with migrations(database_url, service) as (backend, every, connection):
        before = shape_of(connection, service)
        for migration in every:
            backend.apply_migrations(MigrationList([migration]))
            after = shape_of(connection, service)
            if found := broken(before, after):
                wrong[f"{service}/{migration.id}"] = found
            before = after
    assert {name: found for name, found in wrong.items() if name not in EXCEPTIONS} == {}
    assert {name for name in EXCEPTIONS if name.startswith(f"{service}/")} <= wrong.keys(), "an exception that is none"


BEFORE = "CREATE TABLE t (id int PRIMARY KEY, name text, kind text NOT NULL); CREATE FUNCTION f(a int) RETURNS int RETURN a;"


def judged(database_url: str, statements: str) -> list[str]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA s; SET search_path = s; {BEFORE}".encode())
        before: Shape = shape_of(connection, "s")
        connection.execute(statements.encode())
        return broken(before, shape_of(connection, "s"))


@pytest.mark.parametrize(
    "statements",
    [
        "DROP TABLE t",
        "ALTER TABLE t DROP COLUMN name",
        "ALTER TABLE t RENAME COLUMN name TO title",
        "ALTER TABLE t RENAME TO u",
        "ALTER TABLE t ALTER COLUMN id TYPE bigint",
        "ALTER TABLE t ALTER COLUMN name SET NOT NULL",
        "ALTER TABLE t ADD COLUMN size int NOT NULL",
        "ALTER TABLE t ADD CONSTRAINT short CHECK (length(name) < 9)",
        "CREATE UNIQUE INDEX one_name ON t (name)",
        "DROP FUNCTION f; CREATE FUNCTION f(a int, b int) RETURNS int RETURN a",
    ],
)
def test_the_rule_sees_what_breaks_old_code(database_url: str, statements: str) -> None:
    assert judged(database_url, statements) != []


@pytest.mark.parametrize(
    "statements",
    [
        "ALTER TABLE t ADD COLUMN size int NOT NULL DEFAULT 0",
        "ALTER TABLE t ADD COLUMN size int CHECK (size > 0)",
        "ALTER TABLE t ADD COLUMN size bigint GENERATED ALWAYS AS IDENTITY",
        "ALTER TABLE t ALTER COLUMN kind DROP NOT NULL",
        "CREATE INDEX by_name ON t (name)",
        "CREATE TABLE u (id int PRIMARY KEY, t int NOT NULL REFERENCES t)",
        "CREATE OR REPLACE FUNCTION f(a int) RETURNS int RETURN a + 1",
        "CREATE FUNCTION f(a int, b int) RETURNS int RETURN a",
    ],
)
def test_the_rule_allows_what_old_code_does_not_see(database_url: str, statements: str) -> None:
    assert judged(database_url, statements) == []
