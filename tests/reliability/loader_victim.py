"""A loader in a process of its own that kills itself with SIGKILL when it comes to a given point."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

from services.analytics.admin_api import lag
from services.analytics.batch import Batch
from services.analytics.errors import TransientError
from services.analytics.loader import Loader, Wiring
from services.analytics.positions import Positions
from services.analytics.publisher import Publisher
from services.analytics.reader import Limits, Reader
from services.analytics.rollups import ROLLUPS, Rollup
from services.analytics.rows.decode import Row
from services.analytics.rows.registry import TOPICS
from services.analytics.rows.table import Table
from services.analytics.span import Span
from services.analytics.warehouse import Warehouse, connector
from tests.integration.analytics.rollup_fold import Folded, rollups_of

DATABASE = "tollbook"
RAW = ("requests", "attempts", "completions", "ledger")
STEPS = ("begin", *RAW, *(rollup.table for rollup in ROLLUPS), "finish")
POINTS = tuple(f"{moment} {step}" for step in STEPS for moment in ("before", "after"))
"""Every point at which a batch stands differently: around its record in Postgres, each insert, and its end."""
LIMITS = Limits(flush_seconds=0.05, rows=10_000, idle_seconds=0.5)
COUNTS = "SELECT count(), uniqExact(event_id) FROM {table:Identifier}"
SUMS = "SELECT account_id, currency, sum(amount_nano) FROM ledger WHERE type = 'Captured' GROUP BY account_id, currency"

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.reliability.loader_victim"])


@dataclass(frozen=True)
class Place:
    """Where a loader reads and writes."""

    database_url: str
    kafka: str
    home: Path
    limits: Limits = LIMITS


@dataclass(frozen=True)
class Held:
    """What ClickHouse holds: rows and distinct events per topic, captured money, every rollup."""

    rows: dict[str, tuple[int, int]]
    captured: dict[tuple[str, str], int]
    rollups: Folded


def killed_at(point: str, place: Place, *, fresh: bool) -> BaseProcess:
    """Start a loader that dies when it comes to the point: in any batch, or (`fresh`) in one that it begins itself."""
    return _started(_load, place, point, fresh)


def finished(place: Place) -> BaseProcess:
    """Start a loader that ends once nothing is left to load."""
    return _started(_load, place, "", False)


def held(place: Place) -> Held:
    """What the store holds now: asked by a process that opens it and ends."""
    ours, theirs = _processes.Pipe(duplex=False)
    process = _started(_tell, place, theirs)
    try:
        answer: Held = ours.recv()
    finally:
        process.join()
    return answer


def _started(run: Callable[..., None], *arguments: Any) -> BaseProcess:
    process = _processes.Process(target=run, args=arguments)
    process.start()
    return process


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class _Points:
    """The point that is deadly: at once, or from the first batch on that this process begins itself."""

    deadly: str
    armed: bool

    async def around(self, step: str, call: Awaitable[None]) -> None:
        self.armed = self.armed or step == "begin"
        if self.armed and self.deadly == f"before {step}":
            _die()
        await call
        if self.armed and self.deadly == f"after {step}":
            _die()


class _Doomed(Warehouse):
    """ClickHouse, with a deadly point around one insert."""

    points = _Points("", armed=True)

    async def insert(self, table: Table, rows: Sequence[Row], batch_no: int, token: str) -> None:
        await self.points.around(table.name, super().insert(table, rows, batch_no, token))

    async def add(self, rollup: Rollup, batch_no: int, span: Span, token: str) -> None:
        await self.points.around(rollup.table, super().add(rollup, batch_no, span, token))


def _load(place: Place, point: str, fresh: bool) -> None:
    points = _Points(point, armed=not fresh)
    with _deadly_positions(points):
        asyncio.run(_run(place, points))


@contextmanager
def _deadly_positions(points: _Points) -> Iterator[None]:
    begin, finish = Positions.begin, Positions.finish

    async def around_begin(self: Positions, batch: Batch) -> None:
        await points.around("begin", begin(self, batch))

    async def around_finish(self: Positions) -> None:
        await points.around("finish", finish(self))

    with patch.object(Positions, "begin", around_begin), patch.object(Positions, "finish", around_finish):
        yield


async def _run(place: Place, points: _Points) -> None:
    warehouse = _Doomed(connector("", place.home, DATABASE, max_threads=1), "victim")
    warehouse.points = points
    loader = Loader(
        Wiring(
            database_url=place.database_url,
            warehouse=warehouse,
            new_reader=lambda: Reader(place.kafka, TOPICS),
            new_publisher=lambda: Publisher(place.kafka, "victim"),
            limits=place.limits,
        )
    )
    loading = asyncio.create_task(loader.run())
    while True:
        if await _nothing_left(loader):
            break
        await asyncio.sleep(0.02)
    loader.stop()
    await loading
    await warehouse.close()


async def _nothing_left(loader: Loader) -> bool:
    try:
        return all(partition["lag"] == 0 for partition in (await lag(loader.state))["partitions"])
    except (TransientError, LookupError):
        return False


def _tell(place: Place, answer: Any) -> None:
    client = connector("", place.home, DATABASE, max_threads=1)()
    rows = {name: tuple(client.query(COUNTS, parameters={"table": name}).result_rows[0]) for name in RAW}
    captured = {(account, currency): total for account, currency, total in client.query(SUMS).result_rows}
    answer.send(Held(rows, captured, rollups_of(client)))
    client.close()


def other_batches(place: Place, rows: int) -> Place:
    """The same place, read in batches of another size."""
    return replace(place, limits=replace(place.limits, rows=rows))
