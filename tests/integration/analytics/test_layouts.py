"""The one SQL text on every engine: each rewritten statement parses; rows are kept as long as the settings say."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_connect.driver.client import Client

from services.analytics import keeping, warehouse_schema
from services.analytics.layout import PLAIN, Layout
from services.analytics.sqlfile import SQL_DIR, queries, statements

LAYOUTS = [Layout("replicated", "main"), Layout("database")]


def ddl() -> Iterator[str]:
    """Every statement that makes or changes a table."""
    for migration in warehouse_schema.migrations():
        yield from statements(migration.text)
    yield from statements((SQL_DIR / "clickhouse" / "schema.sql").read_text("utf-8"))
    yield "\n".join(line for line in queries("warehouse.sql")["record_of_migrations"].splitlines() if not line.startswith("--"))


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.engines)
def test_every_rewritten_statement_parses_and_makes_no_table_that_is_not_replicated(clickhouse: Client, layout: Layout) -> None:
    tables = 0
    for statement in ddl():
        rewritten = layout.of(statement)
        parsed = clickhouse.query("SELECT formatQuery({sql:String})", parameters={"sql": rewritten}).result_rows[0][0]
        assert ("ON CLUSTER" in parsed) is (layout.engines == "replicated" and not statement.startswith("INSERT")), statement
        assert "non_replicated" not in parsed
        if "ENGINE = " in parsed:
            tables += 1
            assert "ENGINE = Replicated" in parsed
    assert tables > 20


def engine_of(client: Client, table: str) -> str:
    """The engine with its clauses."""
    found: dict[str, str] = {
        name: engine for name, engine in client.query(queries("warehouse.sql")["engines_of_tables"]).result_rows
    }
    return found[table]


def test_rows_are_kept_as_long_as_the_settings_say_and_a_setting_that_is_taken_back_removes_nothing_more(
    clickhouse: Client,
) -> None:
    assert keeping.apply(clickhouse, {}, PLAIN) == []
    days = {"attempts": 90, "usage_minute": 400}
    assert len(keeping.apply(clickhouse, days, PLAIN)) == 2
    assert "TTL toDateTime(occurred_at) + toIntervalDay(90)" in engine_of(clickhouse, "attempts")
    assert "TTL toDateTime(at) + toIntervalDay(400)" in engine_of(clickhouse, "usage_minute")
    assert keeping.apply(clickhouse, days, PLAIN) == []
    assert len(keeping.apply(clickhouse, {"attempts": 30}, PLAIN)) == 2
    assert "toIntervalDay(30)" in engine_of(clickhouse, "attempts")
    assert "TTL" not in engine_of(clickhouse, "usage_minute")


def test_a_row_goes_once_it_is_older_than_its_table_keeps_and_none_before(clickhouse: Client) -> None:
    keeping.apply(clickhouse, {"rejections_hour": 30}, PLAIN)
    now = datetime.now(UTC)
    ages = [timedelta(days=29), timedelta(days=31)]
    clickhouse.insert("rejections_hour", [[now - age, 1] for age in ages], column_names=["at", "requests"])
    clickhouse.command("OPTIMIZE TABLE rejections_hour FINAL")
    (kept,) = clickhouse.query("SELECT groupArray(toDate(at)) FROM rejections_hour").result_rows[0]
    assert kept == [(now - ages[0]).date()]


def test_each_table_that_may_be_limited_tells_the_age_of_its_rows(clickhouse: Client) -> None:
    for table, column in keeping.INSTANTS.items():
        found = {row[0] for row in clickhouse.query(f"DESCRIBE TABLE {table}").result_rows}
        assert column in found
