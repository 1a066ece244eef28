"""Follows the control topic: reads it to its end before the edge is ready, then hands on every new record at once."""

import asyncio
import time
from collections.abc import Callable

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from schemas.control import ControlRecord
from services.edge import metrics
from services.edge.errors import BrokerUnavailableError

log = structlog.get_logger(__name__)

RETRY_S = 1.0
POLL_MS = 500
LOOK_S = 1.0
LOOK_BOUND_S = 2.0
HEARD_S = 3.0
"""For how long the topic may not have been read to its end before keys in memory count for a second only."""


class ControlFeed:
    """`run` follows until cancelled; `caught_up` says whether the topic was read to its end once.

    `on_hearing` is told every second whether the topic is still heard: a broker that is away says nothing by itself.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        apply: Callable[[ControlRecord], None],
        on_hearing: Callable[[bool], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._apply = apply
        self._on_hearing = on_hearing
        self._clock = clock
        self._at_end_at = clock()
        self._consumer: AIOKafkaConsumer | None = None
        self.read_to_end = asyncio.Event()

    @property
    def silent_s(self) -> float:
        """Seconds since the topic was last known to be read to its end."""
        return self._clock() - self._at_end_at

    @property
    def caught_up(self) -> bool:
        """Whether the topic was read to its end since the process began."""
        return self.read_to_end.is_set()

    async def run(self) -> None:
        """Follow the topic, and look whether it is heard, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_on())
            group.create_task(self._look())

    async def _follow_on(self) -> None:
        """Follow the topic, from its beginning after every fault: records are few, and applying one twice is harmless."""
        said = False
        while True:
            try:
                await self._follow()
            except (KafkaError, OSError, BrokerUnavailableError) as error:
                if not said:
                    log.warning("cannot follow the control topic, trying until it answers", error=repr(error))
                said = not self.caught_up
                await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        # No group: every instance reads every partition, from the beginning.
        consumer = AIOKafkaConsumer(
            self._topic,
            bootstrap_servers=self._bootstrap_servers,
            client_id="tollbook-edge-control",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=POLL_MS,
            retry_backoff_ms=250,
        )
        try:
            await consumer.start()
            partitions = consumer.assignment()
            if not partitions:
                raise BrokerUnavailableError(f"the topic {self._topic} does not exist yet")
            ends = await consumer.end_offsets(partitions)
            self._consumer = consumer
            await self._read(consumer, ends)
        finally:
            self._consumer = None
            await consumer.stop()

    async def _read(self, consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> None:
        while True:
            if not self.caught_up and await _reached(consumer, ends):
                self.read_to_end.set()
                self._at_end_at = self._clock()
                log.info("control topic read to its end")
            fetched = await consumer.getmany(timeout_ms=POLL_MS)
            for records in fetched.values():
                for record in records:
                    self._hear(record.value)
                    metrics.CONTROL_POSITION.set(record.offset + 1)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            consumer = self._consumer
            if consumer is not None:
                try:
                    async with asyncio.timeout(LOOK_BOUND_S):
                        if await _reached(consumer, await consumer.end_offsets(consumer.assignment())):
                            self._at_end_at = self._clock()
                except (KafkaError, OSError, TimeoutError) as error:
                    log.debug("cannot see where the control topic ends", error=repr(error))
            metrics.CONTROL_SILENT.set(self.silent_s)
            self._on_hearing(self.silent_s <= HEARD_S)

    def _hear(self, value: bytes | None) -> None:
        """Apply one record. One that cannot be read is counted: its writer is newer, and what is cached ages within seconds."""
        if value is None:
            return
        try:
            record = ControlRecord.model_validate_json(value)
        except ValidationError:
            log.exception("a control record cannot be read, skipping it")
            metrics.CONTROL_RECORDS.labels("unreadable").inc()
            return
        metrics.CONTROL_RECORDS.labels(record.kind).inc()
        self._apply(record)


async def _reached(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    """Whether every partition was read up to where it ended when following began."""
    positions = [await consumer.position(partition) for partition in ends]
    return all(position >= end for position, end in zip(positions, ends.values(), strict=True))
