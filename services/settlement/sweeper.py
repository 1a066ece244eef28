"""Ends holds whose request never completed, once it is certain that its completion is not on its way."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

import psycopg
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from psycopg.rows import TupleRow

from schemas import topics
from services.settlement import expiry_store, metrics
from services.settlement.book_store import BookStore
from services.settlement.partitions import partition_of, partitions_of
from services.settlement.statements import statements
from services.settlement.turns import take_turn

log = structlog.get_logger(__name__)
BATCH = 200
CATCH_UP_S = 5.0
POLL_S = 0.1


class Sweeper:
    """Looks every few seconds. A hold expires only after the worker has read to an end that was asked for after its time."""

    def __init__(
        self,
        *,
        bootstrap_servers: str,
        connect: Callable[[], psycopg.Connection[TupleRow]],
        books: BookStore,
        grace_s: float,
        interval_s: float,
        case_owner: str,
        case_max_age_days: int,
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._connect = connect
        self._books = books
        self._grace_s = grace_s
        self._interval_s = interval_s
        self._case_owner = case_owner
        self._case_max_age_days = case_max_age_days

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until `stop` is set; errors of Postgres and Kafka are waited out."""
        while not stop.is_set():
            try:
                await self.sweep()
            except (psycopg.Error, KafkaError, OSError) as error:
                log.warning("sweep_waits", error=type(error).__name__)
            try:
                async with asyncio.timeout(self._interval_s):
                    await stop.wait()
            except TimeoutError:
                continue

    async def sweep(self) -> int:
        """One look. Returns how many holds were expired."""
        connection = await asyncio.to_thread(self._connect)
        try:
            if not await asyncio.to_thread(take_turn, connection, "sweeper"):
                return 0
            overdue = await asyncio.to_thread(expiry_store.overdue, connection, grace_s=self._grace_s, limit=BATCH)
            expired = await self._expire(connection, overdue) if overdue else 0
            await asyncio.to_thread(expiry_store.move_sweep, connection, grace_s=self._grace_s)
            return expired
        finally:
            await asyncio.to_thread(connection.close)

    async def _expire(self, connection: psycopg.Connection[TupleRow], overdue: Sequence[tuple[UUID, str]]) -> int:
        # Asked after the holds' time was over: whatever completed before that lies below these ends.
        ends = await self._end_offsets()
        ids = await self._past_ends(connection, overdue, ends)
        if not ids:
            return 0
        expiries = await asyncio.to_thread(
            expiry_store.expire_holds,
            connection,
            ids,
            grace_s=self._grace_s,
            book_of=self._books.version,
            case_owner=self._case_owner,
            case_max_age_days=self._case_max_age_days,
        )
        metrics.EXPIRED.inc(len(expiries))
        for expiry in expiries:
            metrics.CASES.labels(expiry.case.kind).inc()
            log.warning("hold_expired", hold_id=str(expiry.hold.id), exposure_nano=expiry.exposure_nano)
        return len(expiries)

    async def _past_ends(
        self, connection: psycopg.Connection[TupleRow], overdue: Sequence[tuple[UUID, str]], ends: Mapping[int, int]
    ) -> list[UUID]:
        """Those whose partition the worker has read to its end; waits a little for it to get there."""
        deadline = asyncio.get_running_loop().time() + CATCH_UP_S
        while True:
            offsets = await asyncio.to_thread(_offsets, connection)
            ready = [
                hold_id
                for hold_id, holder in overdue
                if offsets.get(partition_of(topics.ATTEMPTS, holder), 0) >= ends[partition_of(topics.ATTEMPTS, holder)]
            ]
            if len(ready) == len(overdue) or asyncio.get_running_loop().time() > deadline:
                return ready
            await asyncio.sleep(POLL_S)

    async def _end_offsets(self) -> dict[int, int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap_servers, enable_auto_commit=False)
        try:
            await consumer.start()
            ends = await consumer.end_offsets(partitions_of(topics.ATTEMPTS))
        finally:
            await consumer.stop()
        return {partition.partition: end for partition, end in ends.items()}


def _offsets(connection: psycopg.Connection[TupleRow]) -> dict[int, int]:
    rows = connection.execute(statements("leases.sql")["offsets"], {"topic": topics.ATTEMPTS}).fetchall()
    return dict(rows)
