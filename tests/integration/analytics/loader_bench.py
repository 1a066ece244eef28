"""A loader in the test's own process over real engines, which may be cut at any insert."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from services.analytics.admin_api import lag
from services.analytics.errors import TransientError
from services.analytics.loader import Loader
from services.analytics.reader import Limits
from services.analytics.rollups import Rollup
from services.analytics.rows.decode import Row
from services.analytics.rows.registry import TABLES, TOPICS
from services.analytics.rows.table import Table
from services.analytics.span import Span
from services.analytics.warehouse import Warehouse
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
