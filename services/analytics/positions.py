"""Where the loader stands, in Postgres: the lease, the recorded batch, the next offset of each partition.

One connection does it all. It holds the lease as an advisory lock, so a loader that loses the connection has lost the
lease too, and every write besides compares the batch number: a zombie changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from services.analytics.batch import Batch, Partition
from services.analytics.errors import LeaseLostError
from services.analytics.sqlfile import queries

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_MS = 10_000
LEASE_POLL_S = 0.5
IDLE_S, INTERVAL_S, COUNT = 10, 5, 3
"""Of TCP's keepalive, on both sides. A machine that is gone says nothing: its successor gets the lease within half a minute."""
OPTIONS = {
    "statement_timeout": STATEMENT_TIMEOUT_MS,
    "tcp_keepalives_idle": IDLE_S,
    "tcp_keepalives_interval": INTERVAL_S,
    "tcp_keepalives_count": COUNT,
}


class Positions:
    """The state of one store, as its only writer. `pending` is a batch whose insert may or may not have happened."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], store_id: UUID) -> None:
        self._connection = connection
        self._store_id = store_id
        self._last_in_store = 0
        self.batch_no = 0
        self.pending: Batch | None = None
        self.next_offsets: dict[Partition, int] = {}

    @property
    def next_batch_no(self) -> int:
        """The number of the batch that is recorded next. No number of the store is given twice."""
        return max(self.batch_no, self._last_in_store) + 1

    @property
    def reading_from(self) -> dict[Partition, int]:
        """The first offset of each partition that is still needed: the pending batch is read once more."""
        pending = {} if self.pending is None else {partition: r.first for partition, r in self.pending.ranges.items()}
        return self.next_offsets | pending

    def heed(self, last_in_store: int) -> None:
        """The highest number that the store has: above ours if Postgres was lost, or restored to an earlier state."""
        self._last_in_store = last_in_store

    async def load(self) -> None:
        """Read the state; a store that was never seen begins at nothing."""
        await self._execute("open_store")
        self.batch_no, pending = (await self._fetch("read_store"))[0]
        self.pending = None if pending is None else Batch.from_json(pending)
        self.next_offsets = {(topic, partition): offset for topic, partition, offset in await self._fetch("read_positions")}

    async def begin_partitions(self, begins: Mapping[Partition, int]) -> None:
        """Record where partitions begin that were never read, so that what Kafka drops of them unread is missed."""
        new = {partition: offset for partition, offset in begins.items() if partition not in self.next_offsets}
        if new:
            await self._execute("advance_positions", **_columns(new))
            self.next_offsets.update(new)

    async def begin(self, batch: Batch) -> None:
        """Record the batch's boundaries, before its first insert. Raises :class:`LeaseLostError` if another loader did."""
        number = self.next_batch_no
        if await self._execute("begin_batch", pending=Jsonb(batch.to_json()), next_batch_no=number) != 1:
            raise LeaseLostError("another loader has recorded a batch")
        self.batch_no = number
        self.pending = batch

    async def finish(self) -> None:
        """Record that the pending batch is inserted whole, and move the positions behind it."""
        if self.pending is None:
            raise LeaseLostError("there is no batch to finish")
        moved = self.pending.next_offsets()
        async with self._connection.transaction():
            if await self._execute("finish_batch") != 1:
                raise LeaseLostError("another loader has finished the batch")
            await self._execute("advance_positions", **_columns(moved))
        self.pending = None
        self.next_offsets.update(moved)

    async def _execute(self, name: str, **parameters: Any) -> int:
        cursor = await self._connection.execute(_sql(name), self._parameters(parameters))
        return cursor.rowcount

    async def _fetch(self, name: str) -> list[tuple[Any, ...]]:
        cursor = await self._connection.execute(_sql(name), self._parameters({}))
        return await cursor.fetchall()

    def _parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return {"store_id": self._store_id, "batch_no": self.batch_no, **parameters}


@asynccontextmanager
async def leased_positions(database_url: str, store_id: UUID) -> AsyncIterator[Positions]:
    """The state of the store once this process is its only loader: waits while another one is.

    Raises :class:`LeaseLostError` when Postgres goes away, or has not been migrated yet.
    """
    try:
        connection = await psycopg.AsyncConnection.connect(
            database_url,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            options=" ".join(f"-c {name}={value}" for name, value in OPTIONS.items()),
            tcp_user_timeout=2 * STATEMENT_TIMEOUT_MS,
            keepalives_idle=IDLE_S,
            keepalives_interval=INTERVAL_S,
            keepalives_count=COUNT,
            application_name="tollbook-analytics-loader",
        )
        async with connection:
            await _wait_for_lease(connection, store_id)
            positions = Positions(connection, store_id)
            await positions.load()
            yield positions
    except psycopg.Error as error:
        raise LeaseLostError(f"Postgres: {error}") from error


async def _wait_for_lease(connection: psycopg.AsyncConnection[Any], store_id: UUID) -> None:
    while True:
        cursor = await connection.execute(_sql("take_lease"), {"store_id": store_id})
        if await cursor.fetchone() == (True,):
            return
        await asyncio.sleep(LEASE_POLL_S)


def _columns(offsets: Mapping[Partition, int]) -> dict[str, list[Any]]:
    return {
        "topics": [topic for topic, _ in offsets],
        "partitions": [partition for _, partition in offsets],
        "offsets": list(offsets.values()),
    }


def _sql(name: str) -> LiteralString:
    text: LiteralString = queries("queries.sql")[name]
    return text
