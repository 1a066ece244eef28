"""The dashboard's queries over the rollups say what the same queries over the raw rows say, whatever is filtered."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from services.analytics.sqlfile import queries
from services.analytics.timerange import TimeRange
from services.analytics.warehouse import Warehouse, connector
from tests.integration.analytics.stories import stories
from tests.integration.analytics.test_rollups import CutWarehouse, bring, records_of

BEGIN = datetime(2026, 5, 4, 10, tzinfo=UTC)
ANYTHING = {"project_id": "", "key_id": "", "tag": ""}
APPROXIMATE = {"latency", "latency_over_time"}
WITHIN = 0.05
"""A histogram's bucket is 5% wide, and its quantile is a value of the nearest rank."""


@pytest.fixture
async def warehouse(clickhouse: Client, engine_dir: Path, clickhouse_database: str) -> AsyncIterator[Warehouse]:
    """A database with three hours of requests."""
    loading = CutWarehouse(connector("", engine_dir, clickhouse_database, max_threads=1), "load")
    told = [event for story in stories(300, seed=11, start=BEGIN, spread_s=10_000) for event in story]
    await bring(loading, records_of(told), 1)
    yield loading
    await loading.close()


async def answers(warehouse: Warehouse, file: str, name: str, step_s: int, only: dict[str, str]) -> list[dict[str, Any]]:
    """The rows of one query, in an order of their own."""
    time = TimeRange.of(BEGIN - timedelta(hours=1), BEGIN + timedelta(hours=5), step_s)
    keys = [row["key_id"] for row in await warehouse.rows("SELECT DISTINCT key_id FROM usage_hour")]
    rows = await warehouse.rows(queries(file)[name], {**time.parameters, **only, "limit": 100, "key_ids": keys})
    return sorted(rows, key=lambda row: [str(value) for value in row.values()])


async def test_the_queries_of_both_files_say_the_same(warehouse: Warehouse, clickhouse: Client) -> None:
    tag = clickhouse.query("select any(arrayJoin(tags)) from usage_hour").result_rows[0][0]
    key, project = clickhouse.query("select key_id, project_id from usage_hour limit 1").result_rows[0]
    filters = [{}, {"key_id": key}, {"project_id": project}, {"tag": tag}, {"tag": f"{tag}'", "key_id": "' or 1 --"}]
    assert queries("dashboard.sql").keys() == queries("dashboard_raw.sql").keys()
    for name in queries("dashboard.sql"):
        for step_s in (300, 3600):
            for only in filters:
                rolled = await answers(warehouse, "dashboard.sql", name, step_s, ANYTHING | only)
                raw = await answers(warehouse, "dashboard_raw.sql", name, step_s, ANYTHING | only)
                assert bool(raw) == (only != filters[-1]) or name == "latency", (name, only)
                if name in APPROXIMATE:
                    assert len(rolled) == len(raw)
                else:
                    assert rolled == raw, (name, step_s, only)


async def test_a_quantile_from_a_histogram_is_near_the_exact_one(warehouse: Warehouse) -> None:
    rolled = (await answers(warehouse, "dashboard.sql", "latency", 3600, ANYTHING))[0]
    raw = (await answers(warehouse, "dashboard_raw.sql", "latency", 3600, ANYTHING))[0]
    assert rolled == {name: pytest.approx(value, rel=WITHIN) for name, value in raw.items()}
    nobody = (await answers(warehouse, "dashboard.sql", "latency", 3600, {**ANYTHING, "key_id": "nobody"}))[0]
    assert set(nobody.values()) == {None}
