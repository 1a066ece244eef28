"""The schemas in files are the schemas in the engines: migrations give what schema.sql says, tables have the rows' columns."""

from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from clickhouse_connect.driver.client import Client

from services.analytics import warehouse_schema
from services.analytics.migrate import migrate
from services.analytics.rows.columns import Column
from services.analytics.rows.decode import Row, decode
from services.analytics.rows.registry import TABLES
from services.analytics.rows.table import Table
from services.analytics.sqlfile import SQL_DIR, statements
from services.analytics.warehouse import Warehouse, connector
from tests.unit.analytics.records import EXAMPLES, Record

COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
WHERE table_schema = 'analytics' AND table_name NOT LIKE '%%yoyo%%' ORDER BY table_name, column_name
"""
CONSTRAINTS = """
SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'analytics'::regnamespace AND conrelid::regclass::text NOT LIKE '%%yoyo%%' ORDER BY 1, 2
"""


def postgres_shape(url: str) -> list[list[tuple[object, ...]]]:
    """Columns and constraints of analytics' schema."""
    with psycopg.connect(url) as connection:
        return [connection.execute(query).fetchall() for query in (COLUMNS, CONSTRAINTS)]


def test_postgres_migrations_give_the_schema(database_url: str, postgres_server: str) -> None:
    migrate(database_url)
    migrated = postgres_shape(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA analytics CASCADE")
        connection.execute((SQL_DIR / "schema.sql").read_text("utf-8"))
    assert postgres_shape(database_url) == migrated
    assert migrated[0]


def test_postgres_migrations_apply_once(database_url: str) -> None:
    migrate(database_url)
    migrate(database_url)


def clickhouse_shape(client: Client) -> dict[str, str]:
    """Table → its definition, without the database's name."""
    rows = client.query("SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase()").result_rows
    return {name: text.replace(f"{client.database}.", "") for name, text in rows if name != "schema_migration"}


def test_clickhouse_migrations_give_the_schema(clickhouse: Client, engine_dir: Path) -> None:
    migrated = clickhouse_shape(clickhouse)
    assert {table.name for table in TABLES} < set(migrated)
    direct = connector("", engine_dir, f"{clickhouse.database}_direct", max_threads=1)()
    for statement in statements((SQL_DIR / "clickhouse" / "schema.sql").read_text("utf-8")):
        direct.command(statement)
    assert clickhouse_shape(direct) == migrated
    direct.close()


def test_spend_of_before_its_prices_were_kept_stands_beside_what_comes_later(
    engine_dir: Path, clickhouse_database: str
) -> None:
    client = connector("", engine_dir, clickhouse_database, max_threads=1)()
    for migration in warehouse_schema.migrations():
        if migration.name < "0008":
            for statement in statements(migration.text):
                client.command(statement)
    charge = "toDateTime('2026-11-10 00:00:00', 'UTC'), 'acc_0', 'Captured', 'USD', 1, 100"
    columns = "at, account_id, type, currency, charges, spent_nano"
    for _ in range(2):
        client.command(f"INSERT INTO spend_hour ({columns}) SELECT {charge}")
    warehouse_schema.migrate(client)
    more = "price_version, planned_route_type, planned_model, beside_nano"
    client.command(f"INSERT INTO spend_hour ({columns}, {more}) SELECT {charge}, 3, 'direct', 'm', 5")
    client.command("OPTIMIZE TABLE spend_hour FINAL")
    found = client.query(
        "SELECT price_version, charges, spent_nano, beside_nano FROM spend_hour ORDER BY price_version"
    ).result_rows
    assert found == [(0, 2, 200, 0), (3, 1, 100, 5)]
    client.close()


def test_clickhouse_migrations_apply_once(clickhouse: Client) -> None:
    assert warehouse_schema.migrate(clickhouse) == []


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_has_the_columns_of_its_rows(clickhouse: Client, table: Table) -> None:
    found = clickhouse.query(f"DESCRIBE TABLE {table.name}").result_rows
    assert [(row[0], row[1]) for row in found[:-2]] == [(column.name, column.clickhouse_type) for column in table.columns]
    assert [row[0] for row in found[-2:]] == ["loaded_at", "batch"]


@pytest.fixture
async def warehouse(engine_dir: Path, clickhouse: Client) -> AsyncIterator[Warehouse]:
    """A handle of the test's database, as the loader has it."""
    opened = Warehouse(connector("", engine_dir, str(clickhouse.database), max_threads=1), "test")
    yield opened
    await opened.close()


def golden_rows(table: Table) -> list[Row]:
    """The golden examples of the table's topic, as rows of the table."""
    paths = sorted((EXAMPLES / table.topic).rglob("*.json"))
    records = [Record(table.topic, 0, offset, path.read_bytes()) for offset, path in enumerate(paths)]
    return decode(records).rows[table.name]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
async def test_an_insert_that_is_repeated_changes_nothing(clickhouse: Client, warehouse: Warehouse, table: Table) -> None:
    golden = golden_rows(table)
    distinct = len({row[0] for row in golden})

    def rows(final: str) -> int:
        return int(clickhouse.query(f"SELECT count() FROM {table.name} {final}").result_rows[0][0])

    await warehouse.insert(table, golden, 1, "1:a:0-9")
    await warehouse.insert(table, golden, 1, "1:a:0-9")
    assert rows("") == len(golden)
    await warehouse.insert(table, golden, 1, "1:a:0-8")
    assert rows("FINAL") == distinct


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
async def test_what_is_inserted_is_what_is_read(clickhouse: Client, warehouse: Warehouse, table: Table) -> None:
    golden = golden_rows(table)
    await warehouse.insert(table, golden, 1, "1:a:0-9")
    names = ", ".join(_readable(column) for column in table.columns)
    read = clickhouse.query(f"SELECT {names} FROM {table.name} ORDER BY kafka_offset").result_rows
    written = sorted(golden, key=lambda row: row[table.names.index("kafka_offset")])
    assert [tuple(row) for row in read] == written


def _readable(column: Column) -> str:
    """The column as the integers that were written."""
    if "UUID" in column.clickhouse_type:
        return f"reinterpretAsUInt128(reverse(unhex(replaceAll(toString({column.name}), '-', ''))))"
    if "DateTime64" in column.clickhouse_type:
        return f"toUnixTimestamp64Micro({column.name})"
    return column.name
