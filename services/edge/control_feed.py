"""Follows the control topic: reads it to its end before the edge is ready, then hands on every new record at once."""

import asyncio
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


class ControlFeed:
    """`run` follows until cancelled; `caught_up` says whether the topic was read to its end once."""

    def __init__(self, bootstrap_servers: str, topic: str, apply: Callable[[ControlRecord], None]) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._apply = apply
        self.read_to_end = asyncio.Event()

    @property
    def caught_up(self) -> bool:
        """Whether the topic was read to its end since the process began."""
        return self.read_to_end.is_set()

    async def run(self) -> None:
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
            await self._read(consumer, await consumer.end_offsets(partitions))
        finally:
            await consumer.stop()

    async def _read(self, consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> None:
        while True:
            if not self.caught_up and await _reached(consumer, ends):
                self.read_to_end.set()
                log.info("control topic read to its end")
            fetched = await consumer.getmany(timeout_ms=POLL_MS)
            for records in fetched.values():
                for record in records:
                    self._hear(record.value)

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
