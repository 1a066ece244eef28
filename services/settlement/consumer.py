"""The settlement loop: leases, records, transactions, and Kafka's offsets as advice.

Life: take leases → seek to the ledger's offsets → fetch, settle, advise → give the leases back. Whatever goes wrong with
a connection ends the session; the next one begins again from the ledger's offsets, so that nothing depends on memory.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import psycopg
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata
from psycopg.rows import TupleRow

from schemas import topics
from services.settlement import metrics
from services.settlement.errors import LostLeaseError, OffsetGapError
from services.settlement.lanes import Lanes
from services.settlement.leases import Leases, Taken
from services.settlement.partitions import partitions_of
from services.settlement.positions import Positions
from services.settlement.records import Record, read_ahead, type_of
from services.settlement.settle_store import SettleStore

log = structlog.get_logger(__name__)
FETCH_RECORDS = 4000
FETCH_PARTITION_BYTES = 4 << 20
"""A backlog of one account lies in one partition: its fetches, too, should bring several batches."""
FETCH_MIN_BYTES = 32_768
FETCH_MAX_WAIT_MS = 100
"""The broker answers a fetch with so many bytes or after so long."""
IDLE_FETCH_MS = 200
BACKLOG_RECORDS = 500
"""So many records in one fetch mean that more are waiting."""
ADVICE_INTERVAL_S = 1.0
AWAY = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.TransactionTimeout)
"""Postgres is away, or has ended a transaction that took too long: a process that was frozen hears of it when it wakes."""
PATIENCE_S = 60.0
"""How long Postgres or Kafka may be away before the process ends, so that its supervisor sees it."""


class SettlementLoop:
    """One process's share of the attempts topic."""

    def __init__(
        self,
        *,
        bootstrap_servers: str,
        group: str,
        leases: Leases,
        connect: Callable[[], psycopg.Connection[TupleRow]],
        store: Callable[[psycopg.Connection[TupleRow]], SettleStore],
        batch: int,
        linger_ms: float,
        lease_s: float,
        lanes: int = 1,
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._group = group
        self._leases = leases
        self._connect = connect
        self._store_of = store
        self._batch = batch
        self._linger_s = linger_ms / 1000
        self._lease_s = lease_s
        self._lanes = lanes
        self._starting = True
        self.halted: str | None = None
        self.reading: frozenset[int] = frozenset()

    async def run(self, stop: asyncio.Event) -> None:
        """Settle until `stop` is set. Raises what Postgres or Kafka raise when they stay away, and whatever is a defect."""
        failing_since: float | None = None
        while not stop.is_set() and self.halted is None:
            try:
                failing_since = None if await self._session(stop) else failing_since
            except OffsetGapError as error:
                self.halted = str(error)
                log.error("halted", reason=str(error))  # noqa: TRY400 - the reason says all; a person must look
            except LostLeaseError as error:
                log.warning("lease_lost", reason=str(error))
            except (*AWAY, KafkaError, OSError) as error:
                failing_since = failing_since or time.monotonic()
                log.warning("settlement_waits", error=type(error).__name__, detail=str(error)[:200])
                if time.monotonic() - failing_since > PATIENCE_S:
                    raise
            self.reading = frozenset()
            await asyncio.sleep(0.2)
        await stop.wait()

    async def _session(self, stop: asyncio.Event) -> bool:
        """From leases to the end of them. Returns whether it came as far as reading."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap_servers,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            # The broker gathers, too: many small fetches would cost more than what they bring.
            fetch_min_bytes=FETCH_MIN_BYTES,
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            max_partition_fetch_bytes=FETCH_PARTITION_BYTES,
        )
        connection = await asyncio.to_thread(self._connect)
        try:
            await consumer.start()
            session = _Session(self, consumer, connection)
            try:
                await session.run(stop)
            finally:
                await session.close()
            await asyncio.to_thread(self._leases.release, connection)
            return True
        finally:
            await consumer.stop()
            await asyncio.to_thread(connection.close)

    def take(self, connection: psycopg.Connection[TupleRow], partitions: set[int]) -> Taken:
        """Take or renew leases; the first time also those of a predecessor of the same name."""
        taken = self._leases.take(connection, partitions, starting=self._starting)
        self._starting = False
        return taken


class _Session:
    """One connection to each side, one set of positions. Ends by an exception or by the stop."""

    def __init__(self, loop: SettlementLoop, consumer: Any, connection: psycopg.Connection[TupleRow]) -> None:
        self._loop = loop
        self._consumer = consumer
        self._connection = connection
        self._lanes = Lanes(connection, count=loop._lanes, batch=loop._batch, connect=loop._connect, store_of=loop._store_of)
        self._partitions = {each.partition for each in partitions_of(topics.ATTEMPTS)}
        self._positions = Positions({})
        self._renew_at = 0.0
        self._advise_at = 0.0
        self._ahead: asyncio.Task[list[Record]] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._keep_leases()
            started = time.monotonic()
            if not self._loop.reading:
                await asyncio.sleep(0.5)
                continue
            records = await self._next()
            settled = await self._lanes.settle(self._positions, records)
            await self._advise()
            if settled < self._loop._batch:
                # A fuller batch costs less per event: wait for the rest of the linger while little is there.
                await asyncio.sleep(max(self._loop._linger_s - (time.monotonic() - started), 0))

    async def close(self) -> None:
        """End what was begun ahead, and the lanes."""
        await self._forget_ahead()
        await asyncio.to_thread(self._lanes.close)

    async def _next(self) -> list[Record]:
        """What comes next. Under a backlog the fetch after it begins at once, so that it is read while this one is posted."""
        ahead, self._ahead = self._ahead, None
        records = await (ahead or self._fetch())
        if len(records) >= BACKLOG_RECORDS:
            self._ahead = asyncio.create_task(self._fetch_and_read())
        return records

    async def _fetch_and_read(self) -> list[Record]:
        records = await self._fetch()
        await asyncio.to_thread(read_ahead, records)
        return records

    async def _forget_ahead(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)

    async def _keep_leases(self) -> None:
        """Renew in time; when the set of leases changed, start reading where the ledger is."""
        if time.monotonic() < self._renew_at:
            return
        self._renew_at = time.monotonic() + self._loop._lease_s / 3
        taken = await asyncio.to_thread(self._loop.take, self._connection, self._partitions)
        if frozenset(taken) == self._loop.reading:
            return
        await self._forget_ahead()
        self._positions = Positions(taken)
        self._consumer.assign([TopicPartition(topics.ATTEMPTS, partition) for partition in taken])
        for partition, offset in self._positions.read_from.items():
            self._consumer.seek(TopicPartition(topics.ATTEMPTS, partition), offset)
        self._loop.reading = frozenset(taken)
        log.info("reading", partitions=sorted(taken), offsets=self._positions.offsets)

    async def _fetch(self) -> list[Record]:
        try:
            found = await self._consumer.getmany(timeout_ms=IDLE_FETCH_MS, max_records=FETCH_RECORDS)
        except OffsetOutOfRangeError as error:
            raise OffsetGapError(f"the ledger's offset is not in the topic: {error}") from error
        return [
            Record(record.partition, record.offset, record.key, record.value, type_of(record.headers))
            for records in found.values()
            for record in records
        ]

    async def _advise(self) -> None:
        """Tell Kafka's group the ledger's offsets, so that lag tools work. Nothing depends on it."""
        if time.monotonic() < self._advise_at:
            return
        self._advise_at = time.monotonic() + ADVICE_INTERVAL_S
        offsets = {
            TopicPartition(topics.ATTEMPTS, partition): OffsetAndMetadata(offset, "")
            for partition, offset in self._positions.offsets.items()
        }
        for partition, advice in offsets.items():
            end = self._consumer.highwater(partition)
            if end is not None:
                metrics.LAG.labels(partition.partition).set(end - advice.offset)
        try:
            async with asyncio.timeout(2):
                await self._consumer.commit(offsets)
        except (KafkaError, TimeoutError) as error:
            log.info("advice_failed", error=type(error).__name__)
