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
from schemas.envelope import now
from services.settlement import metrics
from services.settlement.batch import Batch, Decided
from services.settlement.errors import LostLeaseError, OffsetGapError, RacedError
from services.settlement.leases import Leases, Taken
from services.settlement.partitions import partitions_of
from services.settlement.positions import Positions
from services.settlement.records import Record, type_of
from services.settlement.settle_store import SettleStore

log = structlog.get_logger(__name__)
FETCH_RECORDS = 2000
FETCH_MIN_BYTES = 32_768
FETCH_MAX_WAIT_MS = 100
"""The broker answers a fetch with so many bytes or after so long."""
IDLE_FETCH_MS = 200
SKIPPED_BOUND = 1000
SKIPPED_AGE_S = 0.5
"""Records that need no posting are recorded after so many or so long: expiry waits for it."""
ADVICE_INTERVAL_S = 1.0
RACES = 5
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
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._group = group
        self._leases = leases
        self._connect = connect
        self._store_of = store
        self._batch = batch
        self._linger_s = linger_ms / 1000
        self._lease_s = lease_s
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
            except (psycopg.OperationalError, psycopg.InterfaceError, KafkaError, OSError) as error:
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
        )
        connection = await asyncio.to_thread(self._connect)
        try:
            await consumer.start()
            session = _Session(self, consumer, connection)
            await session.run(stop)
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
        self._store = loop._store_of(connection)
        self._partitions = {each.partition for each in partitions_of(topics.ATTEMPTS)}
        self._positions = Positions({})
        self._renew_at = 0.0
        self._advise_at = 0.0
        self._post_skipped_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._keep_leases()
            started = time.monotonic()
            if not self._loop.reading:
                await asyncio.sleep(0.5)
                continue
            records = await self._fetch()
            settled = await asyncio.to_thread(self._settle, records)
            await self._advise()
            if settled < self._loop._batch:
                # A fuller batch costs less per event: wait for the rest of the linger while little is there.
                await asyncio.sleep(max(self._loop._linger_s - (time.monotonic() - started), 0))

    async def _keep_leases(self) -> None:
        """Renew in time; when the set of leases changed, start reading where the ledger is."""
        if time.monotonic() < self._renew_at:
            return
        self._renew_at = time.monotonic() + self._loop._lease_s / 3
        taken = await asyncio.to_thread(self._loop.take, self._connection, self._partitions)
        if frozenset(taken) == self._loop.reading:
            return
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

    def _settle(self, records: list[Record]) -> int:
        """Post what was fetched, in a thread. Returns how many settling events there were."""
        settled = 0
        for batch in self._positions.batches(records, self._loop._batch):
            size = len(batch.incoming) + len(batch.poison)
            if size == 0 and not self._must_post_skipped():
                continue
            if not batch.advances:
                continue
            started = time.perf_counter()
            observe(batch, self._post(batch), time.perf_counter() - started)
            self._positions.posted(batch)
            self._post_skipped_at = time.monotonic() + SKIPPED_AGE_S
            settled += size
        return settled

    def _must_post_skipped(self) -> bool:
        return self._positions.unposted >= SKIPPED_BOUND or time.monotonic() >= self._post_skipped_at

    def _post(self, batch: Batch) -> Decided:
        for _ in range(RACES):
            try:
                return self._store.settle(batch)
            except (RacedError, psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected) as error:
                log.info("batch_again", reason=type(error).__name__)
        return self._store.settle(batch)

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


def observe(batch: Batch, decided: Decided, seconds: float) -> None:
    """Count one committed batch."""
    metrics.BATCH_SECONDS.observe(seconds)
    metrics.BATCH_EVENTS.observe(len(batch.incoming) + len(batch.poison))
    instant = now()
    for incoming, settlement in decided.settlements:
        metrics.settled(settlement.kind)
        metrics.EVENT_AGE_SECONDS.observe((instant - incoming.event.occurred_at).total_seconds())
        if settlement.capture and settlement.capture.nano > settlement.capture.hold.amount_nano:
            metrics.OVERRUNS.inc()
    if decided.repeats:
        metrics.SETTLED.labels("repeat").inc(decided.repeats)
    for case in decided.cases:
        metrics.CASES.labels(case.kind).inc()
        log.warning("case_opened", kind=case.kind, case_id=str(case.id), request_id=str(case.request_id))
    for record, error in decided.poison:
        metrics.DEAD_LETTERS.labels(error.reason).inc()
        log.error("dead_letter", partition=record.partition, offset=record.offset, reason=error.reason, detail=error.detail)
