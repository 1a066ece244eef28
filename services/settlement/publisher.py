"""Sends many records to Kafka at once and waits until all of them are acknowledged."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.envelope import TYPE_HEADER
from services.settlement.partitions import partition_of

log = structlog.get_logger(__name__)
STOP_TIMEOUT_S = 5.0
BATCH_BYTES = 900_000
"""Under the broker's own bound of 1 MB per batch."""


@dataclass(frozen=True, slots=True)
class Message:
    """One record: topic, key, the event's type and its JSON."""

    topic: str
    key: str
    type: str
    value: str


class Publisher:
    """An idempotent producer, acks=all. After an error it is made anew: the caller sends the same records again."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._producer: Any = None

    async def send(self, messages: Sequence[Message]) -> None:
        """Publish in order per key. Raises KafkaError or OSError; some of the records may have been written then."""
        try:
            producer = await self._ready()
            futures: list[Any] = []
            for (topic, partition), records in _by_partition(messages).items():
                batches = _batches(producer, records)
                futures += [await producer.send_batch(batch, topic, partition=partition) for batch in batches]
            outcomes = await asyncio.gather(*futures, return_exceptions=True)
        except (KafkaError, OSError):
            await self.close()
            raise
        failed = next((outcome for outcome in outcomes if isinstance(outcome, BaseException)), None)
        if failed is not None:
            await self.close()
            raise failed

    async def close(self) -> None:
        """Close the producer, whatever its state."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await producer.stop()
            except (KafkaError, OSError) as error:
                log.warning("producer_stop_failed", error=type(error).__name__)

    async def _ready(self) -> Any:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap_servers,
                acks="all",
                enable_idempotence=True,
                max_batch_size=BATCH_BYTES,
                request_timeout_ms=15_000,
            )
            try:
                await producer.start()
            except (KafkaError, OSError):
                await producer.stop()
                raise
            self._producer = producer
        return self._producer


def _by_partition(messages: Sequence[Message]) -> dict[tuple[str, int], list[Message]]:
    found: dict[tuple[str, int], list[Message]] = {}
    for message in messages:
        place = (message.topic, partition_of(message.topic, message.key))
        found.setdefault(place, []).append(message)
    return found


def _batches(producer: Any, records: Sequence[Message]) -> list[Any]:
    batches = [producer.create_batch()]
    for record in records:
        fields = {"key": record.key.encode(), "value": record.value.encode(), "headers": [(TYPE_HEADER, record.type.encode())]}
        if batches[-1].append(timestamp=None, **fields) is None:
            batches.append(producer.create_batch())
            batches[-1].append(timestamp=None, **fields)
    for batch in batches:
        batch.close()
    return batches
