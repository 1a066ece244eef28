"""From Kafka to ClickHouse, exactly once.

A session takes the lease, inserts the batch that was pending, and loads batch by batch:

    gather → decode → leave out what is a row already → record the boundaries (Postgres) → tell the meter → place (ClickHouse:
    raw rows, then rollups) → record that it is done

Any failure ends the session, and the next begins like a process that was killed: from what is recorded. So there is one
way to recover, and every kill -9 takes it.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

import structlog

from services.analytics import keeping, metrics, warehouse_schema
from services.analytics.batch import Batch, Partition
from services.analytics.closing import asked_to_end
from services.analytics.errors import (
    CancelledInsideError,
    LogTruncatedError,
    RewoundError,
    SchemaDriftError,
    TransientError,
)
from services.analytics.lag import LagWindow
from services.analytics.layout import PLAIN, Layout
from services.analytics.placed_rows import last_batch_of
from services.analytics.placing import ATTEMPTS, leave_out_known, leave_out_old, place, place_again
from services.analytics.positions import Positions, leased_positions
from services.analytics.publisher import Publisher
from services.analytics.reader import Limits, Reader, check_reach
from services.analytics.rows.attempts import ATTEMPTS as ATTEMPTS_TABLE
from services.analytics.rows.completions import COMPLETIONS
from services.analytics.rows.decode import Decoded, Record, decode
from services.analytics.rows.registry import TABLES
from services.analytics.usage import channel_samples, samples
from services.analytics.warehouse import Warehouse, store_id_of

RETRY_FIRST_S = 0.2
RETRY_MOST_S = 5.0
HALTED_RETRY_S = 30.0
STUCK_S = 20.0
STOP_TIMEOUT_S = 15.0
WAITING = "waiting until it is the loader"
Place = Callable[[Warehouse, Decoded, Batch, int], Awaitable[None]]
log = structlog.get_logger("analytics.loader")


@dataclass(slots=True)
class LoaderState:
    """What others may know of the loader. `reason` says why it is not loading; None while it is."""

    reason: str | None = "starting"
    store_id: UUID | None = None
    next_offsets: dict[Partition, int] = field(default_factory=dict)
    reader: Reader | None = None
    lag: LagWindow = field(default_factory=LagWindow)
    batch_since: float | None = None
    """When the batch under way was read, by the loader's clock; None while there is none."""

    def trouble(self, now_s: float) -> str | None:
        """Why it does not load; None while it does. A call that hangs is no error yet, and loads nothing either."""
        if self.reason is None and self.batch_since is not None and (since_s := now_s - self.batch_since) > STUCK_S:
            return f"a batch has been under way for {since_s:.0f} s"
        return self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What a loader is made of. The factories are called anew for each session."""

    database_url: str
    warehouse: Warehouse
    new_reader: Callable[[], Reader]
    new_publisher: Callable[[], Publisher]
    limits: Limits
    layout: Layout = PLAIN
    keep_days: Mapping[str, int] = field(default_factory=dict)
    clock: Callable[[], float] = time.time


class Loader:
    """Runs sessions until it is stopped."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._stopping = asyncio.Event()
        self._sampled = 0
        self._loaded = False
        self.state = LoaderState()

    async def run(self) -> None:
        """Load until :meth:`stop`. Comes back from everything but a bug, which it raises."""
        pause_s = RETRY_FIRST_S
        while not self._stopping.is_set():
            try:
                await self._session()
            except asyncio.CancelledError:
                if asked_to_end():
                    raise
                pause_s = self._ended(CancelledInsideError("a call was cancelled from within"), RETRY_FIRST_S)
            except TransientError as error:
                pause_s = self._ended(error, RETRY_FIRST_S if self._loaded else min(pause_s * 2, RETRY_MOST_S))
            except (LogTruncatedError, SchemaDriftError) as error:
                pause_s = self._ended(error, HALTED_RETRY_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    def stop(self) -> None:
        """Finish the batch under way, then end."""
        self._stopping.set()

    def _ended(self, error: Exception, pause_s: float) -> float:
        metrics.SESSIONS.labels(type(error).__name__).inc()
        log.warning("loader session ended", error=type(error).__name__, reason=str(error), retry_in_s=pause_s)
        self.state.reason = f"{type(error).__name__}: {error}"
        self.state.batch_since = None
        self._loaded = False
        return pause_s

    def _begin_loading(self, store_id: UUID, reader: Reader) -> None:
        self.state.store_id = store_id
        self.state.reader = reader
        self.state.reason = None
        self._loaded = True
        metrics.LOADING.set(1)

    def _end_loading(self) -> None:
        self.state.reader = None
        self.state.reason = "the session is ending"
        metrics.LOADING.set(0)

    async def _session(self) -> None:
        wiring = self._wiring
        await wiring.warehouse.call(partial(warehouse_schema.prepare, layout=wiring.layout))
        store_id = await wiring.warehouse.call(store_id_of)
        async with AsyncExitStack() as stack:
            reader, publisher = wiring.new_reader(), wiring.new_publisher()
            await reader.start()
            stack.push_async_callback(reader.stop)
            await publisher.start()
            stack.push_async_callback(publisher.stop)
            self.state.reason = WAITING
            positions = await stack.enter_async_context(leased_positions(wiring.database_url, store_id))
            self.state.reason = "coming up to date"
            await self._bring_up_to_date(positions)
            await self._resume(positions, reader, publisher)
            stack.callback(self._end_loading)
            self._begin_loading(store_id, reader)
            while (records := await self._gather(reader)) is not None:
                if records:
                    await self._load(records, positions, publisher)
                else:
                    await reader.check_silence()

    async def _bring_up_to_date(self, positions: Positions) -> None:
        """Under the lease: no other loader, not even one of an older version, inserts while rollups are filled."""
        wiring, call = self._wiring, self._wiring.warehouse.call
        await call(partial(warehouse_schema.catch_up, layout=wiring.layout))
        for name in await call(partial(warehouse_schema.migrate, layout=wiring.layout)):
            log.info("ClickHouse migration applied", migration=name)
        for change in await call(partial(keeping.apply, keep_days=wiring.keep_days, layout=wiring.layout)):
            log.info("ClickHouse keeps rows for another time now", change=change)
        positions.heed(await call(last_batch_of))

    async def _resume(self, positions: Positions, reader: Reader, publisher: Publisher) -> None:
        """Insert the batch that was pending, from its recorded boundaries, and go to where reading goes on.

        What Kafka no longer has is found out here, whether or not anything follows it.
        """
        begins, ends = await reader.begins(), await reader.ends()
        for partition, offset in positions.reading_from.items():
            if partition in ends:
                check_reach(partition, offset, begins[partition], ends[partition])
        await positions.begin_partitions(begins)
        if positions.pending is not None:
            log.info("inserting the pending batch again", ranges=positions.pending.to_json())
            records = await reader.replay(positions.pending)
            decoded = await self._decode(records, positions.batch_no)
            await self._publish_samples(decoded, positions.batch_no, publisher)
            attempts = 1 if self._wiring.layout.replicated else ATTEMPTS
            await self._insert(decoded, positions, publisher, partial(place_again, attempts=attempts))
        self.state.next_offsets = positions.next_offsets
        await reader.seek(positions.next_offsets)

    async def _gather(self, reader: Reader) -> list[Record] | None:
        """The next records; None once the loader is stopping."""
        gathering = asyncio.ensure_future(reader.gather(self._wiring.limits))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({gathering, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return None if stopping.done() else await gathering
        finally:
            for task in (gathering, stopping):
                task.cancel()
            await asyncio.gather(gathering, stopping, return_exceptions=True)

    async def _load(self, records: list[Record], positions: Positions, publisher: Publisher) -> None:
        started = time.perf_counter()
        self.state.batch_since = self._wiring.clock()
        batch = Batch.of(records)
        check_follows(batch, positions.next_offsets)
        decoded = await self._decode(records, positions.next_batch_no)
        await positions.begin(batch)
        await self._publish_samples(decoded, positions.batch_no, publisher)
        await self._insert(decoded, positions, publisher, place)
        self.state.batch_since = None
        metrics.BATCH_SECONDS.observe(time.perf_counter() - started)

    async def _decode(self, records: list[Record], batch_no: int) -> Decoded:
        """The records' rows without those of events that are rows already, or that no table would keep."""
        decoded = await asyncio.to_thread(decode, records)
        metrics.TOO_OLD.inc(leave_out_old(decoded, self._wiring.keep_days, self._wiring.clock()))
        metrics.DUPLICATES.inc(await leave_out_known(self._wiring.warehouse, decoded, batch_no))
        return decoded

    async def _insert(self, decoded: Decoded, positions: Positions, publisher: Publisher, put: Place) -> None:
        """Place the pending batch's rows, and record that it is done."""
        batch = positions.pending
        assert batch is not None, "a batch is recorded before it is inserted"
        if decoded.poison:
            await publisher.set_aside(decoded.poison)
        await put(self._wiring.warehouse, decoded, batch, positions.batch_no)
        await positions.finish()
        self._account(decoded)

    async def _publish_samples(self, decoded: Decoded, batch_no: int, publisher: Publisher) -> None:
        """Tell the meter. Of a recorded batch, whose number and bounds stay: who reads it a second time knows it by them."""
        if batch_no == self._sampled:
            return
        found, channels = samples(decoded.rows[COMPLETIONS.name]), channel_samples(decoded.rows[ATTEMPTS_TABLE.name])
        await publisher.publish_samples(found, channels, batch_no)
        self._sampled = batch_no
        metrics.SAMPLES.inc(len(found) + len(channels))

    def _account(self, decoded: Decoded) -> None:
        now_s = self._wiring.clock()
        for table in TABLES:
            rows = decoded.rows[table.name]
            metrics.ROWS.labels(table.name).inc(len(rows))
            self.state.lag.observe((now_s * 1000 - micros / 1000 for micros in decoded.column(table, "occurred_at")), now_s)
        for poison in decoded.poison:
            metrics.POISON.labels(poison.topic, poison.reason).inc()
            log.warning(
                "record set aside", topic=poison.topic, partition=poison.partition, offset=poison.offset, reason=poison.reason
            )


def check_follows(batch: Batch, next_offsets: Mapping[Partition, int]) -> None:
    """A batch begins exactly where the one before it ended.

    Raises :class:`LogTruncatedError` where records are gone, :class:`RewoundError` where some came again.
    """
    for partition, r in batch.ranges.items():
        expected = next_offsets.get(partition, r.first)
        told = f"{partition[0]}/{partition[1]}: expected offset {expected}, Kafka has {r.first}"
        if r.first > expected:
            raise LogTruncatedError(told)
        if r.first < expected:
            raise RewoundError(told)
