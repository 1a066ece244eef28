"""Slow rules on a real warehouse: what rollups tell becomes alerts, against what they told of the weeks before."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from schemas.access import ROOT
from services.analytics.alerts.desk import AlertDesk
from services.analytics.audit import Who
from services.analytics.database import Database
from services.analytics.signals.backtest import backtest
from services.analytics.signals.history import Usuals
from services.analytics.signals.past import past_of
from services.analytics.signals.rule_book import RuleBook
from services.analytics.signals.rule_file import parse_rules
from services.analytics.signals.rule_store import RuleStore
from services.analytics.signals.schedule import Schedule
from services.analytics.warehouse import Warehouse, connector

HOUR = 500_000
NOW_S = HOUR * 3600 + 1_800
FILE = """
rules:
  - {id: spend, signal: spend_by_route, floor: {USD: "5"}, keep: 0s}
  - {id: mix, signal: mix_change, floor: 0.4, keep: 0s}
  - {id: backup, signal: fallback_frequency, floor: 0.2, keep: 0s}
"""
COLUMNS = "at, account_id, project_id, key_id, requested_model, channel, route_type, upstream_model, currency, outcome"
SUMS = "requests, fallbacks, input_tokens, cost_nano"


class Ground:
    """The schedule over a store and a database of its own, and the clock that it goes by."""

    def __init__(self, client: Client, warehouse: Warehouse, database: Database) -> None:
        self.now_s = float(NOW_S)
        self._client = client
        self.warehouse = warehouse
        self._database = database
        self.store = RuleStore(database)
        self.book = RuleBook(self.store)
        self.schedule = self.begun(self.book)

    def begun(self, book: RuleBook) -> Schedule:
        """A schedule that judges by a book."""
        desk = AlertDesk(self._database, lambda: None)
        return Schedule(self.warehouse, self._database, book, desk, lambda: self.now_s)

    def used(self, table: str, at_s: int, model: str = "large", **sums: int) -> None:
        """Rows of a rollup: what account a1 used at an instant."""
        values = f"toDateTime({at_s}), 'a1', 'p1', 'k1', '{model}', 'main', 'direct', '{model}-1', 'USD', 'succeeded'"
        numbers = ", ".join(str(sums.get(name, 0)) for name in SUMS.split(", "))
        self._client.command(f"INSERT INTO {table} ({COLUMNS}, {SUMS}) VALUES ({values}, {numbers})")

    async def apply(self, file: str) -> None:
        await self.store.apply(file, parse_rules(file), None, Who(ROOT.user_id, "ann", "ann"))
        await self.book.refresh()

    async def judged(self) -> list[tuple[str, str, str]]:
        """Judge once; rule, subject and state of every alert."""
        await self.schedule.refresh()
        await self.schedule.judge()
        return await self.opened()

    async def opened(self) -> list[tuple[str, str, str]]:
        """Rule, subject and state of every alert."""
        rows = await self._database.rows("alerts.sql", "open_alerts")
        found: list[dict[str, Any]] = [row["document"] for row in rows]
        return sorted((each["last"]["rule"], each["last"]["subject_id"], each["state"]) for each in found)


@pytest.fixture
async def ground(clickhouse: Client, clickhouse_database: str, engine_dir: Path, migrated_url: str) -> AsyncIterator[Ground]:
    warehouse = Warehouse(connector("", engine_dir, clickhouse_database, max_threads=1), "judge")
    database = Database(migrated_url)
    await database.open()
    yield Ground(clickhouse, warehouse, database)
    await database.close()
    await warehouse.close()


async def test_slow_rules_compare_the_window_with_the_weeks_before_and_end_when_it_is_calm(ground: Ground) -> None:
    await ground.apply(FILE)
    for back in range(1, 400):
        ground.used("usage_hour", (HOUR - back) * 3600, requests=100, fallbacks=1, cost_nano=3 * 10**9)
    assert await ground.judged() == []
    usuals = ground.schedule.usuals
    assert usuals.spend["a1", "large", "direct", "USD"].centre == 3 * 10**9
    assert usuals.mixes["a1"].shares == {"large-1 on main": 1.0}
    minute = NOW_S - 120
    ground.used("usage_minute", minute, requests=10, fallbacks=0, cost_nano=3 * 10**9)
    ground.used("usage_minute", minute, "other", requests=190, fallbacks=100, cost_nano=9 * 10**9)
    found = await ground.judged()
    assert [(rule, state) for rule, _, state in found] == [("backup", "firing"), ("mix", "firing"), ("spend", "firing")]
    assert [subject for _, subject, _ in found] == ["other", "a1", "other via direct in USD of a1"]
    assert await ground.judged() == found
    ground.now_s += 7_200
    assert await ground.judged() == []


async def test_nothing_is_judged_before_it_is_known_what_is_usual(ground: Ground) -> None:
    await ground.apply(FILE)
    for back in range(1, 400):
        ground.used("usage_hour", (HOUR - back) * 3600, requests=100, cost_nano=9 * 10**9)
    ground.used("usage_minute", NOW_S - 120, requests=100, cost_nano=9 * 10**9)
    await ground.schedule.judge()
    assert await ground.judged() == []
    ground.schedule.usuals = Usuals()
    ground.now_s += 600
    await ground.schedule.judge()
    assert [rule for rule, _, _ in await ground.opened()] == ["spend"]


async def test_a_process_that_has_read_no_rules_yet_ends_no_alert(ground: Ground) -> None:
    await ground.apply(FILE)
    ground.used("usage_minute", NOW_S - 120, "other", requests=190, cost_nano=9 * 10**9)
    assert [rule for rule, _, _ in await ground.judged()] == ["spend"]
    another = ground.begun(RuleBook(ground.store))
    await another.refresh()
    await another.judge()
    assert [rule for rule, _, _ in await ground.opened()] == ["spend"]


async def test_an_alert_of_a_rule_that_is_gone_is_over(ground: Ground) -> None:
    await ground.apply(FILE)
    ground.used("usage_minute", NOW_S - 120, "other", requests=190, cost_nano=9 * 10**9)
    other = "rules: [{id: spend, signal: error_rate_by_channel, floor: 0.2}]"
    for file in ("rules: []", other):
        assert [rule for rule, _, _ in await ground.judged()] == ["spend"]
        await ground.apply(file)
        assert await ground.judged() == []
        await ground.apply(FILE)


async def test_a_rule_file_is_tried_on_the_past_and_says_what_would_have_fired(ground: Ground) -> None:
    for back in range(1, 400):
        ground.used("usage_hour", (HOUR - back) * 3600, requests=100, fallbacks=1, input_tokens=5_000, cost_nano=3 * 10**9)
        ground.used("usage_minute", (HOUR - back) * 3600, requests=100, fallbacks=1, input_tokens=5_000, cost_nano=3 * 10**9)
    for minute in range(10):
        at_s = NOW_S - 1_200 + 60 * minute
        ground.used("usage_minute", at_s, requests=50, fallbacks=40, input_tokens=90_000, cost_nano=10**9)
    file = FILE + "  - {id: runaway, signal: tokens_per_minute_by_key, floor: 60000, keep: 2m}\n"
    past = await past_of(ground.warehouse, (HOUR - 48) * 3600, NOW_S)
    found = {would.first.rule: would for would in backtest(parse_rules(file), past)}
    assert sorted(found) == ["backup", "runaway"]
    runaway = found["runaway"]
    assert (runaway.first.subject_id, runaway.first.account_id, runaway.peak) == ("k1", "a1", 90_000)
    assert (runaway.first.baseline, runaway.first.threshold) == (5_000, 60_000)
    begun = datetime.fromtimestamp(NOW_S - 1_200, UTC)
    assert (runaway.fired_at, runaway.ended) == (begun + timedelta(minutes=1), begun + timedelta(minutes=13))
