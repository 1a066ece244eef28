"""Announces changes on the control topic: every one that was committed, in order, deleted only once Kafka has it."""

from __future__ import annotations

import asyncio

import psycopg
import structlog
from aiokafka.errors import KafkaError

from schemas.control import ControlRecord
from schemas.envelope import TYPE_HEADER
from schemas.topics import CONTROL
from services.router.errors import LogUnavailableError
from services.router.publisher import Publisher
from services.router.queries import queries
from services.router.route_store import connect

ACK_S = 5.0
ROUND = 100
log = structlog.get_logger(__name__)


class ControlOutbox:
    """One instance publishes at a time, whichever has the lock; a record that was published twice is harmless."""

    def __init__(self, database_url: str, publisher: Publisher) -> None:
        self._database_url = database_url
        self._publisher = publisher

    async def flush(self) -> None:
        """Publish everything that waits. Raises :class:`LogUnavailableError` or psycopg.Error; then it waits on."""
        async with await connect(self._database_url) as connection:
            await connection.execute(queries("control.sql")["lock_relay"])
            while rows := await (
                await connection.execute(queries("control.sql")["pending_control"], {"limit": ROUND})
            ).fetchall():
                await self._publish([ControlRecord.model_validate(row["record"]) for row in rows])
                await connection.execute(queries("control.sql")["delete_control"], {"ids": [row["id"] for row in rows]})

    async def try_flush(self, bound_s: float) -> None:
        """Publish now if that is possible within so many seconds; what was not possible is tried again every second."""
        try:
            async with asyncio.timeout(bound_s):
                await self.flush()
        except (LogUnavailableError, psycopg.Error, OSError, TimeoutError) as exc:
            log.warning("control_records_wait", reason=str(exc) or type(exc).__name__)

    async def _publish(self, records: list[ControlRecord]) -> None:
        session = self._publisher.session
        if session is None:
            raise LogUnavailableError("Kafka is away")
        type_ = [(TYPE_HEADER, b"ControlRecord")]
        try:
            async with asyncio.timeout(ACK_S):
                for record in records:
                    key = record.key.encode()
                    await session.producer.send_and_wait(CONTROL, value=record.to_json(), key=key, headers=type_)
        except (KafkaError, TimeoutError) as exc:
            raise LogUnavailableError("Kafka did not acknowledge the announcement") from exc
