"""`schema.sql` is today's truth: the migrations, replayed, must give the same."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from services.settlement import migrate as migrations
from services.settlement.migrate import migrate

SCHEMA_FILE = Path(migrations.__file__).parent / "sql" / "schema.sql"
CATALOG = Path(__file__).with_name("catalog.sql").read_text("utf-8").split("-- next\n")
BOOKKEEPING = ("_yoyo", "yoyo_lock")


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The database with both: `settlement` by migrations, `written` by schema.sql."""
    migrate(database_url)
    with psycopg.connect(database_url, autocommit=True) as opened:
        opened.execute("create schema written")
        opened.execute("set search_path = written")
        opened.execute(SCHEMA_FILE.read_text("utf-8").encode())
        yield opened


def described(connection: psycopg.Connection[tuple[object, ...]], schema: str) -> list[tuple[str, ...]]:
    """Every column, constraint, index, trigger, function and comment of a schema, without the schema's name."""
    connection.execute(f"set search_path = {schema}".encode())
    rows = [row for query in CATALOG for row in connection.execute(query.encode(), {"schema": schema}).fetchall()]
    texts = [tuple(str(value).replace(f"{schema}.", "") for value in row) for row in rows]
    return sorted(row for row in texts if not row[1].startswith(BOOKKEEPING))


def test_the_migrations_give_the_schema_that_is_written_down(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    by_migrations, by_schema = described(connection, "settlement"), described(connection, "written")
    assert by_migrations == by_schema
    assert {row[0] for row in by_schema} == {"column", "comment", "constraint", "function", "index", "options", "trigger"}


def test_migrating_again_changes_nothing(database_url: str) -> None:
    assert migrate(database_url) > 0
    assert migrate(database_url) == 0
