"""The control topic: which version of the route table is in force, as every instance hears it at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from schemas.control import ControlRecord
from schemas.topics import CONTROL

ROUTES_KEY = b"routes/table"
RETRY_S = 1.0

log = structlog.get_logger(__name__)


class ControlFeed:
    """Reads the whole topic, then follows it. `on_version` hears each version of the route table, at first only the latest."""

    def __init__(self, servers: str, on_version: Callable[[int], Awaitable[object]]) -> None:
        self._servers = servers
        self._on_version = on_version
        self._task: asyncio.Task[None] | None = None
        self.at_end = asyncio.Event()

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
        try:
            await consumer.start()
            await self._read_to_end(consumer)
            async for message in consumer:
                if (version := version_in(message.key, message.value)) is not None:
                    await self._on_version(version)
        finally:
            await consumer.stop()

    async def _read_to_end(self, consumer: AIOKafkaConsumer) -> None:
        partitions = list(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        latest: int | None = None
        while not self.at_end.is_set():
            batches = await consumer.getmany(timeout_ms=200)
            for messages in batches.values():
                for message in messages:
                    version = version_in(message.key, message.value)
                    latest = latest if version is None else version
            positions = [await consumer.position(partition) for partition in partitions]
            if all(position >= ends[partition] for partition, position in zip(partitions, positions, strict=True)):
                break
        if latest is not None:
            await self._on_version(latest)
        self.at_end.set()


def version_in(key: bytes | None, value: bytes | None) -> int | None:
    """The route table's version in a control record, None for a record about something else."""
    if key != ROUTES_KEY or value is None:
        return None
    try:
        return ControlRecord.model_validate_json(value).version
    except ValidationError as exc:
        log.warning("control_record_unreadable", errors=exc.error_count())
        return None
