"""What `tollbook.control.v1` says about accounts, projects and keys: who is frozen, and by which alert."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from schemas import topics
from schemas.control import ControlRecord
from services.settlement import metrics
from services.settlement.refusals import Stop

log = structlog.get_logger(__name__)
LOOK_S = 1.0
LOOK_BOUND_S = 2.0
CODES = {"account": "account_frozen", "project": "project_frozen", "key": "key_frozen"}


class Frozen:
    """The latest state per entity. Older versions that come late are ignored."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, str], int] = {}
        self._stopped: dict[tuple[str, str], Stop] = {}

    def apply(self, record: ControlRecord) -> None:
        """Take one control record."""
        key = (record.kind, record.entity_id)
        if record.kind not in CODES or record.version < self._versions.get(key, -1):
            return
        self._versions[key] = record.version
        if record.frozen or record.revoked:
            self._stopped[key] = Stop(CODES[record.kind], None if record.revoked else record.reason)
        else:
            self._stopped.pop(key, None)

    def stop(self, account_id: str, project_id: str, key_id: str) -> Stop | None:
        """Whatever is frozen, the widest first; None if nothing is."""
        if not self._stopped:
            return None
        for of in (("account", account_id), ("project", project_id), ("key", key_id)):
            if (found := self._stopped.get(of)) is not None:
                return found
        return None


class ControlReader:
    """Reads the control topic from its beginning and goes on reading. `ready` is set once its end was reached."""

    def __init__(self, bootstrap_servers: str, *listeners: Callable[[ControlRecord], None]) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._listeners = listeners
        self._at_end_at = time.monotonic()
        self.ready = asyncio.Event()

    @property
    def silent_s(self) -> float:
        """Seconds since the topic was last known to be read to its end."""
        return time.monotonic() - self._at_end_at

    async def run(self) -> None:
        """Read until cancelled. A broker that is away is waited for; the state that was read stays in force."""
        while True:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap_servers, enable_auto_commit=False, auto_offset_reset="earliest"
            )
            try:
                await consumer.start()
                await self._read(consumer)
            except Exception as error:  # noqa: BLE001 - any failure of the client: say so, connect anew
                log.warning("control_topic_unreachable", error=type(error).__name__)
                await asyncio.sleep(1)
            finally:
                await consumer.stop()

    async def _read(self, consumer: Any) -> None:
        partition = TopicPartition(topics.CONTROL, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        looked_at = float("-inf")
        while True:
            if time.monotonic() - looked_at >= LOOK_S:
                await self._look(consumer, partition)
                looked_at = time.monotonic()
            for records in (await consumer.getmany(timeout_ms=500, max_records=500)).values():
                for record in records:
                    self._take(record)
                    metrics.CONTROL_POSITION.set(record.offset + 1)

    async def _look(self, consumer: Any, partition: TopicPartition) -> None:
        """See whether the topic is read to its end: a broker that is away says nothing by itself."""
        try:
            async with asyncio.timeout(LOOK_BOUND_S):
                end = (await consumer.end_offsets([partition]))[partition]
                if await consumer.position(partition) >= end:
                    self._at_end_at = time.monotonic()
                    self.ready.set()
        except (KafkaError, TimeoutError) as error:
            log.warning("control_topic_silent", error=type(error).__name__, silent_s=round(self.silent_s))

    def _take(self, record: Any) -> None:
        if record.value is None:
            return
        try:
            told = ControlRecord.model_validate_json(record.value)
        except ValidationError:
            # Compaction keeps a broken record for ever: it freezes nobody, and says nothing that could be retried.
            log.warning("control_record_unreadable", key=str(record.key), offset=record.offset)
            return
        for listener in self._listeners:
            listener(told)
