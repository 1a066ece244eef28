"""The loader's session cut at every step, with the engines real: the next session continues from what is recorded.

A failure ends a session exactly where a kill -9 would end the process, so the points are visited one by one.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from clickhouse_connect.driver.client import Client

from deploy.local.ports import free_port
from schemas import topics
from services.analytics.admin_api import lag
from services.analytics.errors import TransientError
from services.analytics.loader import Loader, Wiring
from services.analytics.positions import Positions
from services.analytics.publisher import Publisher
from services.analytics.reader import Limits, Reader
from services.analytics.rollups import Rollup
from services.analytics.rows.decode import Row
from services.analytics.rows.registry import TABLES, TOPICS
from services.analytics.rows.table import Table
from services.analytics.span import Span
from services.analytics.warehouse import Warehouse, connector
from tests.integration.analytics.clickhouse_http import serving
from tests.integration.analytics.rollup_fold import fold, rollups_of
from tests.integration.analytics.stories import publish, stories
from tests.integration.analytics.topic_contents import distinct_events, events_of

LIMITS = Limits(flush_seconds=0.1, rows=500, idle_seconds=0.5)
DEADLINE_S = 60


class CutError(TransientError):
    """The session ends here, as a killed process would."""


class CutWarehouse(Warehouse):
    """ClickHouse, with a cut before or after the first insert into one table."""

    cut: Callable[[str, str], None] = staticmethod(lambda moment, table: None)

    async def insert(self, table: Table, rows: Sequence[Row], batch_no: int, token: str) -> None:
        self.cut("before", table.name)
        await super().insert(table, rows, batch_no, token)
        self.cut("after", table.name)

    async def add(self, rollup: Rollup, batch_no: int, span: Span, token: str) -> None:
        self.cut("before", rollup.table)
        await super().add(rollup, batch_no, span, token)
        self.cut("after", rollup.table)


def once(moment: str, table_name: str) -> tuple[Callable[[str, str], None], list[str]]:
    """A cut that happens one time at the given point, and the list that says whether it did."""
    done: list[str] = []

    def cut(now: str, table: str) -> None:
        if not done and (now, table) == (moment, table_name):
            done.append(f"{moment} {table_name}")
            raise CutError(done[0])

    return cut, done


@dataclass(frozen=True)
class Bench:
    """A loader in this process, not running, and the engines around it."""

    loader: Loader
    warehouse: CutWarehouse
    clickhouse: Client
    kafka: str
    postgres: str

    async def publish(self) -> None:
        """A few hundred events more in Kafka."""
        await publish(self.kafka, [event for story in stories(60, seed=8) for event in story])

    def rows_per_topic(self) -> dict[str, tuple[int, int]]:
        """(rows as inserted, distinct event ids) per topic: without FINAL, a second insert would show."""
        found: dict[str, tuple[int, int]] = {}
        for table in TABLES:
            rows, ids = self.clickhouse.query(f"SELECT count(), uniqExact(event_id) FROM {table.name}").result_rows[0]
            before = found.get(table.topic, (0, 0))
            found[table.topic] = (before[0] + rows, before[1] + ids)
        return found

    async def every_event_is_one_row(self) -> bool:
        """Whether ClickHouse has each event of Kafka once."""
        expected = await distinct_events(self.kafka, TOPICS)
        if self.rows_per_topic() != {topic: (number, number) for topic, number in expected.items()}:
            return False
        events = [event for topic in TOPICS for event in await events_of(self.kafka, topic)]
        return rollups_of(self.clickhouse) == fold(events)


@pytest.fixture
async def bench(
    engine_dir: Path, clickhouse_database: str, clickhouse: Client, migrated_url: str, kafka_bootstrap_servers: str
) -> AsyncIterator[Bench]:
    """A loader over an empty store."""
    warehouse = CutWarehouse(connector("", engine_dir, clickhouse_database, max_threads=1), "test")
    wiring = Wiring(
        database_url=migrated_url,
        warehouse=warehouse,
        new_reader=lambda: Reader(kafka_bootstrap_servers, TOPICS),
        new_publisher=lambda: Publisher(kafka_bootstrap_servers, "test-loader"),
        limits=LIMITS,
    )
    yield Bench(Loader(wiring), warehouse, clickhouse, kafka_bootstrap_servers, migrated_url)
    await warehouse.close()


@asynccontextmanager
async def running(loader: Loader) -> AsyncIterator[None]:
    """The loader, running within the block."""
    task = asyncio.create_task(loader.run())
    yield
    loader.stop()
    async with asyncio.timeout(DEADLINE_S):
        await task


async def eventually(condition: Callable[[], Awaitable[bool] | bool]) -> None:
    """Return once the condition holds; fails at the deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            answer = condition()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.05)


async def loaded(loader: Loader) -> None:
    """Return once nothing is left to load."""

    async def nothing_is_left() -> bool:
        try:
            return all(partition["lag"] == 0 for partition in (await lag(loader.state))["partitions"])
        except TransientError:
            return False

    await eventually(nothing_is_left)


POINTS = [
    (moment, table)
    for table in ("requests", "attempts", "completions", "ledger", "usage_minute", "attempts_hour", "spend_hour")
    for moment in ("before", "after")
]


@pytest.mark.parametrize(("moment", "table"), POINTS, ids=[f"{moment} {table}" for moment, table in POINTS])
async def test_a_cut_around_an_insert_neither_loses_nor_doubles_a_row(bench: Bench, moment: str, table: str) -> None:
    bench.warehouse.cut, happened = once(moment, table)
    await bench.publish()
    async with running(bench.loader):
        await loaded(bench.loader)
    assert happened == [f"{moment} {table}"]
    assert await bench.every_event_is_one_row()


@pytest.mark.parametrize("step", ["begin", "finish"])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_cut_around_a_record_of_the_batch_neither_loses_nor_doubles_a_row(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, moment: str, step: str
) -> None:
    real = getattr(Positions, step)
    happened: list[str] = []

    async def cut(*arguments: Any) -> None:
        first = not happened
        happened.append(step)
        if first and moment == "before":
            raise CutError(step)
        await real(*arguments)
        if first:
            raise CutError(step)

    monkeypatch.setattr(Positions, step, cut)
    await bench.publish()
    async with running(bench.loader):
        await loaded(bench.loader)
    assert len(happened) > 1
    assert await bench.every_event_is_one_row()


async def test_a_batch_that_is_gathered_again_is_told_to_the_meter_once(bench: Bench) -> None:
    async def told() -> int:
        samples = [event for event in await events_of(bench.kafka, topics.USAGE) if event["type"] == "UsageSample"]
        return sum(sample["data"]["requests"] for sample in samples)

    told_before = await told()
    bench.warehouse.cut, happened = once("before", "requests")
    await bench.publish()
    async with running(bench.loader):
        await loaded(bench.loader)
    assert happened
    completed = [event for event in await events_of(bench.kafka, topics.ATTEMPTS) if event["type"] == "RequestCompleted"]
    assert await told() - told_before == len(completed)


async def test_two_loaders_of_one_store_take_turns(bench: Bench) -> None:
    first, second = bench.loader, Loader(bench.loader._wiring)
    await bench.publish()
    async with running(first):
        await loaded(first)
        async with running(second):
            await bench.publish()
            await loaded(first)
            assert second.state.reason in {"starting", "waiting until it is the loader"}
            first.stop()
            await bench.publish()
            await loaded(second)
    assert await bench.every_event_is_one_row()


async def test_a_lost_connection_to_postgres_is_a_lost_lease_and_loading_goes_on(bench: Bench) -> None:
    await bench.publish()
    async with running(bench.loader):
        await loaded(bench.loader)
        with psycopg.connect(bench.postgres, autocommit=True) as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tollbook-analytics-loader'"
                " AND datname = current_database()"
            ).fetchall()
        assert ended == [(True,)]
        await bench.publish()
        await eventually(bench.every_event_is_one_row)


async def test_a_log_that_was_cut_behind_the_loader_halts_it(bench: Bench) -> None:
    await bench.publish()
    async with running(bench.loader):
        await loaded(bench.loader)
    with psycopg.connect(bench.postgres) as connection:
        connection.execute("UPDATE analytics.loader_position SET next_offset = next_offset + 1000000")
    again = Loader(bench.loader._wiring)
    async with running(again):
        await eventually(lambda: "LogTruncatedError" in (again.state.reason or ""))


async def test_a_server_by_url_that_goes_away_and_comes_back_misses_nothing(
    bench: Bench, engine_dir: Path, clickhouse_database: str, tmp_path: Path
) -> None:
    port = free_port()
    engine = engine_dir / "clickhouse"
    url = f"http://127.0.0.1:{port}/{clickhouse_database}?compress=false"
    warehouse = Warehouse(connector(url, tmp_path, "not_used", max_threads=1), "server")
    loader = Loader(replace(bench.loader._wiring, warehouse=warehouse))
    with serving(engine, port):
        await bench.publish()
        async with running(loader):
            await loaded(loader)
    again = Loader(loader._wiring)
    async with running(again):
        await bench.publish()
        await eventually(lambda: "WarehouseAwayError" in (again.state.reason or ""))
        with serving(engine, port):
            await loaded(again)
    assert await bench.every_event_is_one_row()
    await warehouse.close()


async def test_a_cancellation_from_within_a_library_ends_the_session_and_not_the_loader(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Publisher.publish_samples
    happened: list[str] = []

    async def cancelled_within(publisher: Publisher, *found: Any) -> None:
        if not happened:
            happened.append("cancelled")
            inner = asyncio.ensure_future(asyncio.sleep(60))
            inner.cancel()
            await inner
        await real(publisher, *found)

    monkeypatch.setattr(Publisher, "publish_samples", cancelled_within)
    await bench.publish()
    async with running(bench.loader):
        await loaded(bench.loader)
    assert happened
    assert await bench.every_event_is_one_row()
