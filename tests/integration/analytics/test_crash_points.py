"""The loader's session cut at every step, with the engines real: the next session continues from what is recorded.

A failure ends a session exactly where a kill -9 would end the process, so the points are visited one by one.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.local.ports import free_port
from schemas import topics
from services.analytics.loader import WAITING, Loader
from services.analytics.positions import Positions
from services.analytics.publisher import Publisher
from services.analytics.warehouse import Warehouse, connector
from tests.integration.analytics.clickhouse_http import serving
from tests.integration.analytics.loader_bench import Bench, CutError, eventually, loaded, once, running
from tests.integration.analytics.topic_contents import events_of

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


async def test_what_a_killed_loader_had_told_the_meter_is_known_by_its_batch(bench: Bench) -> None:
    cut, happened = once("before", "attempts")

    def killed(moment: str, table: str) -> None:
        try:
            cut(moment, table)
        except CutError:
            bench.loader._sampled = 0  # the next process does not know what this one told
            raise

    before = len(await events_of(bench.kafka, topics.USAGE))
    bench.warehouse.cut = killed
    await bench.publish()
    async with running(bench.loader):
        await loaded(bench.loader)
    assert happened
    told = [e["data"] for e in (await events_of(bench.kafka, topics.USAGE))[before:] if e["type"] == "UsageSample"]
    counted = {(each["batch_no"], each["key_id"], each["second"]): each for each in told}
    assert all(each == counted[each["batch_no"], each["key_id"], each["second"]] for each in told)
    completed = [event for event in await events_of(bench.kafka, topics.ATTEMPTS) if event["type"] == "RequestCompleted"]
    assert len(told) > len(counted)
    assert sum(each["requests"] for each in counted.values()) == len(completed)


async def test_two_loaders_of_one_store_take_turns(bench: Bench) -> None:
    first, second = bench.loader, Loader(bench.loader._wiring)
    await bench.publish()
    async with running(first):
        await loaded(first)
        async with running(second):
            await bench.publish()
            await loaded(first)
            assert second.state.reason in {"starting", WAITING}
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
