"""The provisioned Grafana dashboards: every panel's SQL is answered by the read-only endpoint and shows what was loaded."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from clickhouse_connect.driver.client import Client

from schemas.envelope import Event
from services.analytics.sql_endpoint.engine import Bounds, Engine
from services.analytics.warehouse import Warehouse, connector
from tests.integration.analytics.grafana import DASHBOARDS, Target, dashboards, expanded, targets
from tests.integration.analytics.stories import stories, velocity_alert
from tests.integration.analytics.test_rollups import CutWarehouse, bring, records_of

BEGIN = datetime(2026, 5, 4, 10, tzinfo=UTC)
END = BEGIN + timedelta(hours=1)
ANYTHING = {"account": "", "project": "", "key": "", "tag": ""}
STEP_S = 60
NEVER_TOLD = {"Cost of providers", "Written off"}
"""What the made-up requests have nothing of; their queries run all the same."""


class Reader:
    """What Grafana gets of a query."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def rows(self, target: Target, variables: Mapping[str, str]) -> list[dict[str, Any]]:
        """The rows of a panel's query."""
        sql = expanded(target.sql, BEGIN, END, STEP_S, variables)
        reply = await self._engine.run(sql, {}, "JSONEachRow")
        return [orjson.loads(line) for line in reply.body.splitlines()]


@pytest.fixture
async def reader(clickhouse: Client, engine_dir: Path, clickhouse_database: str) -> AsyncIterator[Reader]:
    """Somebody who reads a database with an hour of requests, at the bounds that an installation has."""
    loading = CutWarehouse(connector("", engine_dir, clickhouse_database, max_threads=1), "load")
    told: list[Event] = [event for story in stories(200, seed=7, start=BEGIN, spread_s=3000) for event in story]
    told.append(velocity_alert("alert-1", "firing", BEGIN + timedelta(minutes=5)))
    told.append(velocity_alert("alert-1", "resolved", BEGIN + timedelta(minutes=9)))
    told.append(velocity_alert("alert-of-before", "firing", BEGIN + timedelta(minutes=5), "key-of-before"))
    await bring(loading, records_of(told), 1)
    await loading.close()
    warehouse = Warehouse(connector("", engine_dir, clickhouse_database, max_threads=2), "sql")
    yield Reader(Engine(warehouse, clickhouse_database, Bounds()))
    await warehouse.close()


async def test_every_panel_is_answered_and_shows_what_was_loaded(reader: Reader, clickhouse: Client) -> None:
    for target in targets():
        rows = await reader.rows(target, ANYTHING)
        assert rows or target.panel in NEVER_TOLD, f"{target.dashboard} · {target.panel} is empty"
        for row in rows:
            assert ("time" in row) or not target.series, f"{target.panel}: Grafana needs the column time"
            assert None not in row.values(), f"{target.panel}: {row}"
        if "${account:sqlstring}" in target.sql:
            assert await reader.rows(target, {**ANYTHING, "account": "nobody's"}) == [], target.panel
    shown = await reader.rows(_panel("operations", "Requests by outcome"), ANYTHING)
    loaded = clickhouse.query("select count() from completions final").result_rows[0][0]
    assert sum(int(row["requests"]) for row in shown if row["outcome"] != "rejected") == loaded


async def test_an_alert_of_before_the_states_were_kept_is_over_after_an_hour(reader: Reader) -> None:
    """The meter of then told of a beginning, and of an end only while it ran: nobody will tell of one any more."""
    rows = await reader.rows(_panel("operations", "Alerts"), ANYTHING)
    assert {row["subject"]: row["state"] for row in rows}["key-of-before"] == "resolved"


async def test_the_filters_add_up_to_everything(reader: Reader, clickhouse: Client) -> None:
    panel = _panel("costs", "Spend by bucket and route")
    whole = sum(row["spent"] for row in await reader.rows(panel, ANYTHING))
    keys = [row[0] for row in clickhouse.query("select distinct key_id from spend_hour").result_rows]
    assert len(keys) > 1
    apart = 0.0
    for key in keys:
        apart += sum(row["spent"] for row in await reader.rows(panel, {**ANYTHING, "key": key}))
    assert whole > 0
    assert apart == pytest.approx(whole)


def test_every_dashboard_asks_the_provisioned_data_source() -> None:
    sources = yaml.safe_load((DASHBOARDS.parent / "provisioning" / "datasources" / "tollbook.yaml").read_text("utf-8"))
    source = sources["datasources"][0]
    for board in dashboards().values():
        asked = [panel["datasource"] for panel in board["panels"]]
        asked += [target["datasource"] for panel in board["panels"] for target in panel["targets"]]
        assert {(each["type"], each["uid"]) for each in asked} == {(source["type"], source["uid"])}
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def _panel(dashboard: str, title: str) -> Target:
    return next(target for target in targets() if (target.dashboard, target.panel) == (dashboard, title))
