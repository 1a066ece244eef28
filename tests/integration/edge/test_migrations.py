"""The migrations replayed give the tables that schema.sql describes."""

from pathlib import Path

import psycopg
import pytest

from services.edge.migrate import MIGRATIONS_DIR, migrate
from services.edge.queries import SQL_DIR

CATALOG = (Path(__file__).parent / "catalog.sql").read_text("utf-8").encode()


def described(url: str) -> list[tuple[object, ...]]:
    """Columns, constraints and indexes of edge's schema; yoyo's own tables are left out."""
    with psycopg.connect(url) as connection:
        return connection.execute(CATALOG).fetchall()


@pytest.fixture
def other_url(database_url: str, module_database_url: str) -> str:
    """A second empty database."""
    assert database_url != module_database_url
    return module_database_url


def test_the_migrations_give_what_schema_sql_describes(database_url: str, other_url: str) -> None:
    migrate(database_url)
    with psycopg.connect(other_url) as connection:
        connection.execute((SQL_DIR / "schema.sql").read_bytes())
    assert described(database_url) == described(other_url)
    assert len(described(database_url)) > 30


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    assert migrate(database_url) == sorted(path.stem for path in MIGRATIONS_DIR.glob("*.sql"))
    before = described(database_url)
    assert migrate(database_url) == []
    assert described(database_url) == before
