"""From the log into router's table: batches are taken in once, then worked on under leases.

A position is committed when what comes before it is in the table; a record that is read again changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from schemas.batches import BatchAccepted
from schemas.dead import DeadLetter, DeadLetterData
from schemas.envelope import TYPE_HEADER
from schemas.topics import REQUESTS
from services.router import metrics
from services.router.batch.line_queue import STORE_ERRORS
from services.router.batch.store import BatchStore

GROUP = "tollbook-batch"
POLL_MS = 500
RECORDS_MAX = 2_000
RETRY_S = 1.0
WANTED = BatchAccepted.model_fields["type"].default.encode()

log = structlog.get_logger(__name__)


class Intake:
    """Reads the requests topic in a group. `set_aside` writes a dead letter for a record that cannot be read."""

    def __init__(self, servers: str, store: BatchStore, set_aside: Callable[[DeadLetter], Awaitable[None]]) -> None:
        self._servers = servers
        self._store = store
        self._set_aside = set_aside
        self.reading = asyncio.Event()

    async def run(self) -> None:
        """Read until cancelled. Whatever fails is tried again from the last committed position."""
        while True:
            try:
                await self._follow()
            except (KafkaError, *STORE_ERRORS, TimeoutError) as exc:
                log.warning("batch_intake_interrupted", reason=repr(exc))
            self.reading.clear()
            await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        consumer = AIOKafkaConsumer(
            REQUESTS,
            bootstrap_servers=self._servers,
            group_id=GROUP,
            client_id="tollbook-router-batch",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=10_000,
        )
        try:
            await consumer.start()
            self.reading.set()
            while True:
                polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
                if polled:
                    await self._take_in([message for messages in polled.values() for message in messages])
                    await consumer.commit()
                await _measure(consumer)
        finally:
            await consumer.stop()

    async def _take_in(self, messages: list[Any]) -> None:
        events = []
        for message in messages:
            if not _is_batch(message):
                continue
            try:
                events.append(BatchAccepted.model_validate_json(message.value))
            except ValidationError as exc:
                await self._set_aside(_dead(message, exc))
        if events:
            await self._store.take_in(events)
            log.info("batches_taken_in", batch_ids=[event.data.batch_id for event in events])


def _is_batch(message: Any) -> bool:
    return any(name == TYPE_HEADER and value == WANTED for name, value in message.headers)


def _dead(message: Any, exc: ValidationError) -> DeadLetter:
    detail = f"{exc.error_count()} fields do not fit BatchAccepted"
    place = DeadLetterData(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        consumer=GROUP,
        reason="unreadable",
        detail=detail,
    )
    return DeadLetter(account_id="unknown", data=place)


async def _measure(consumer: AIOKafkaConsumer) -> None:
    lag = 0
    for partition in consumer.assignment():
        end = consumer.highwater(partition)
        if end is not None:
            lag += max(0, end - await consumer.position(partition))
    metrics.BATCH_INTAKE_LAG.set(lag)
