"""Migrations replayed give the schema that `schema.sql` declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from services.router.migrate import migrate

SCHEMA_SQL = Path(__file__).parents[3] / "services" / "router" / "sql" / "schema.sql"
COLUMNS = """
SELECT table_name, ordinal_position, column_name, data_type, is_nullable, column_default, col_description(
    format('router.%I', table_name)::regclass, ordinal_position)
FROM information_schema.columns WHERE table_schema = 'router' AND table_name !~ 'yoyo' ORDER BY 1, 2
"""
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'router'::regnamespace AND conrelid::regclass::text !~ 'yoyo' ORDER BY 1, 2
"""
INDEXES = (
    "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'router' AND tablename !~ 'yoyo' ORDER BY 1, 2"
)
COMMENTS = """
SELECT relname, obj_description(oid) FROM pg_class
WHERE relnamespace = 'router'::regnamespace AND relkind = 'r' AND relname !~ 'yoyo' ORDER BY 1
"""


def shape(connection: psycopg.Connection[Any]) -> list[Any]:
    """Everything that tells two schemas apart."""
    return [connection.execute(query).fetchall() for query in (COLUMNS, CONSTRAINTS, INDEXES, COMMENTS)]


def test_the_migrations_give_the_declared_schema(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA router")
        connection.execute(SCHEMA_SQL.read_bytes())
        declared = shape(connection)
        connection.execute("DROP SCHEMA router CASCADE")
    assert migrate(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert shape(connection) == declared
    assert declared[0]


def test_migrating_again_changes_nothing(database_url: str) -> None:
    assert migrate(database_url)
    assert migrate(database_url) == []
