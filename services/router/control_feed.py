"""The control topic, as every instance hears it at once: the route table in force, frozen channels, new prices."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from schemas.control import ControlRecord
from schemas.topics import CONTROL
from services.router import metrics

RETRY_S = 1.0
LOOK_S = 1.0
LOOK_BOUND_S = 2.0

log = structlog.get_logger(__name__)
Hear = Callable[[ControlRecord], Awaitable[object]]


class ControlFeed:
    """Reads the whole topic, then follows it. `hear` is told of every record, at first only of the latest of each entity."""

    def __init__(self, servers: str, hear: Hear, clock: Callable[[], float] = monotonic) -> None:
        self._servers = servers
        self._hear = hear
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._at_end_at = clock()
        self.at_end = asyncio.Event()

    @property
    def silent_s(self) -> float:
        """Seconds since the topic was last known to be read to its end."""
        return self._clock() - self._at_end_at

    def start(self) -> None:
        """Begin to read."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except (KafkaError, OSError, TimeoutError) as exc:
                log.warning("control_feed_interrupted", reason=repr(exc))
            except Exception:
                log.exception("control_feed_failed")
            await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        consumer = AIOKafkaConsumer(
            CONTROL, bootstrap_servers=self._servers, group_id=None, auto_offset_reset="earliest", enable_auto_commit=False
        )
        looking: asyncio.Task[None] | None = None
        try:
            await consumer.start()
            await self._read_to_end(consumer)
            looking = asyncio.create_task(self._look(consumer))
            async for message in consumer:
                if (record := record_in(message.value)) is not None:
                    await self._hear(record)
                metrics.CONTROL_POSITION.set(message.offset + 1)
        finally:
            if looking is not None:
                looking.cancel()
            await consumer.stop()

    async def _read_to_end(self, consumer: AIOKafkaConsumer) -> None:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        latest: dict[str, ControlRecord] = {}
        while not await _reached(consumer, ends):
            for messages in (await consumer.getmany(timeout_ms=200)).values():
                for message in messages:
                    if (record := record_in(message.value)) is not None:
                        latest[record.key] = record
        for record in latest.values():
            await self._hear(record)
        metrics.CONTROL_POSITION.set(max(ends.values(), default=0))
        self._at_end_at = self._clock()
        self.at_end.set()

    async def _look(self, consumer: AIOKafkaConsumer) -> None:
        """See every second whether the topic is read to its end: a broker that is away says nothing by itself."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                async with asyncio.timeout(LOOK_BOUND_S):
                    if await _reached(consumer, await consumer.end_offsets(list(consumer.assignment()))):
                        self._at_end_at = self._clock()
            except (KafkaError, OSError, TimeoutError):
                continue
            finally:
                metrics.CONTROL_SILENT.set(self.silent_s)


async def _reached(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    positions = [await consumer.position(partition) for partition in ends]
    return all(position >= end for position, end in zip(positions, ends.values(), strict=True))


def record_in(value: bytes | None) -> ControlRecord | None:
    """The record of a message, None where it cannot be read: its writer is newer, and Postgres is looked at every second."""
    if value is None:
        return None
    try:
        return ControlRecord.model_validate_json(value)
    except ValidationError as exc:
        log.warning("control_record_unreadable", errors=exc.error_count())
        return None
