"""A loader under load whose engines go away one after the other, and what must hold meanwhile and afterwards."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from deploy.local.ports import free_port
from services.analytics.migrate import migrate
from tests.integration.analytics.clickhouse_process import ClickHouse
from tests.integration.analytics.process import ADMIN_TOKEN, EDGE_TOKEN, Analytics, running, until
from tests.integration.analytics.stories import publish, stories
from tests.reliability.loader import check
from tests.reliability.loader_victim import DATABASE, Place
from tests.reliability.outage.watching import Watch, watching
from tests.reliability.outage.ways import Way

EVENTS_OF_A_STORY = 8
LONGEST_ANSWER_S = 40.0
BEHIND_S = 20.0
"""A loader that has caught up is behind by no more records than come in meanwhile: a batch is gathered and placed."""
DEADLINE_S = 600.0


@dataclass(frozen=True)
class Rig:
    """What is watched, and what may go away."""

    place: Place
    clickhouse: ClickHouse
    analytics: Analytics


@dataclass(frozen=True)
class Outage:
    """What one of them came to."""

    name: str
    away_s: float
    not_ready_s: float | None
    lag_s: float
    lag_records: float
    caught_up_s: float
    rate: float
    rss_before: int
    rss_highest: int
    rss_after: int

    def __str__(self) -> str:
        mb = " → ".join(f"{size / 2**20:.0f}" for size in (self.rss_before, self.rss_highest, self.rss_after))
        noticed = "never not ready" if self.not_ready_s is None else f"not ready after {self.not_ready_s:.1f} s"
        return (
            f"{self.name} for {self.away_s:.0f} s: {noticed}, lag up to {self.lag_s:.0f} s and {self.lag_records:,.0f} records;"
            f" caught up {self.caught_up_s:.1f} s after it was back ({self.rate:,.0f} rows/s); memory {mb} MB"
        )


@contextmanager
def rig(home: Path, database_url: str, kafka: str) -> Iterator[Rig]:
    """A ClickHouse server and analytics as processes, over engines that run."""
    migrate(database_url)
    clickhouse = ClickHouse(home / "clickhouse", free_port())
    environment = {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "CLICKHOUSE_URL": f"http://127.0.0.1:{clickhouse.port}/{DATABASE}?compress=false",
        "TOLLBOOK_DATA_DIR": str(home),
        "TOLLBOOK_PORT": str(free_port()),
        "TOLLBOOK_ADMIN_TOKEN": ADMIN_TOKEN,
        "TOLLBOOK_EDGE_TOKEN": EDGE_TOKEN,
        "TOLLBOOK_WATCH_ITSELF": "false",
    }
    clickhouse.start()
    try:
        with running(Analytics("services.analytics", environment, home / "analytics.log")) as analytics:
            analytics.wait_until_ready()
            yield Rig(Place(database_url, kafka, home), clickhouse, analytics)
            assert analytics.stop() == 0
    finally:
        clickhouse.kill()


@dataclass
class Proof:
    """Outages one after the other, of a process that is watched while so many events a second come in."""

    on: Rig
    watch: Watch
    per_second: float

    def outage(self, name: str, way: Way, away_s: float) -> Outage:
        """One of them, from when all was well to when it is again."""
        watch = self.watch
        until(lambda: watch.looks and watch.last.rows > 0 and self._is_up_to_date(), f"it loads before {name}", DEADLINE_S)
        before = watch.last
        with way(self.on.clickhouse):
            begun = time.monotonic()
            time.sleep(away_s)
            ended = time.monotonic()
        meanwhile = watch.since(begun)
        back, rows = time.monotonic(), watch.last.rows
        until(lambda: watch.last.at > back and self._is_up_to_date(), f"{name}: it catches up", DEADLINE_S)
        caught_up, after = watch.last, watch.since(begun)
        seconds = caught_up.at - back
        return Outage(
            name=name,
            away_s=ended - begun,
            not_ready_s=next((look.at - begun for look in meanwhile if not look.ready), None),
            lag_s=max((look.lag_s for look in after if not math.isnan(look.lag_s)), default=0.0),
            lag_records=max(look.lag_records for look in after),
            caught_up_s=seconds,
            rate=(caught_up.rows - rows) / seconds,
            rss_before=before.rss_bytes,
            rss_highest=max(look.rss_bytes for look in after),
            rss_after=caught_up.rss_bytes,
        )

    def end(self) -> None:
        """Once nothing comes in any more, all is loaded."""
        until(lambda: self.watch.last.ready and self.watch.last.lag_records == 0, "all is loaded", DEADLINE_S)

    def _is_up_to_date(self) -> bool:
        return self.watch.last.ready and self.watch.last.lag_records <= BEHIND_S * self.per_second


async def prove(
    on: Rig, ways: Mapping[str, Way], *, away_s: float, per_second: float, tell: Callable[[str], object] = str
) -> tuple[list[Outage], Watch]:
    """One outage after the other under load. Afterwards every event must be there once: :func:`whole` tells."""
    found: list[Outage] = []
    with watching(on.analytics) as watch:
        proof = Proof(on, watch, per_second)
        async with loading(on.place.kafka, per_second):
            for name, way in ways.items():
                found.append(await asyncio.to_thread(proof.outage, name, way, away_s))
                tell(str(found[-1]))
        await asyncio.to_thread(proof.end)
    answered_as_promised(watch)
    return found, watch


async def whole(on: Rig) -> int:
    """How many events there are, each of them one row and counted once. The server must have ended."""
    return await check(on.place)


def answered_as_promised(watch: Watch) -> None:
    """No call met a fault of ours, none was left without an answer, and each refusal says when to ask again."""
    assert not watch.failures, watch.failures
    assert {status for _, status in watch.answers} <= {200, 503}, watch.answers
    assert watch.without_retry_after == 0
    assert max(watch.slowest_s.values()) < LONGEST_ANSWER_S, watch.slowest_s


class Load:
    """Events that come in all the time."""

    def __init__(self, kafka: str, per_second: float) -> None:
        self._kafka, self._per_second, self._ended = kafka, per_second, False
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        for seed in count(int(time.time())):
            if self._ended:
                return
            told = [
                event
                for story in stories(max(1, int(self._per_second / EVENTS_OF_A_STORY)), seed=seed, spread_s=1.0)
                for event in story
            ]
            await publish(self._kafka, told, per_second=self._per_second)

    async def end(self) -> None:
        """Write what was begun, and raise what went wrong."""
        self._ended = True
        await self.task


@asynccontextmanager
async def loading(kafka: str, per_second: float) -> AsyncIterator[None]:
    """So many events a second within the block."""
    load = Load(kafka, per_second)
    try:
        yield
    finally:
        await load.end()
