"""Telling every instance of a new route table."""

from __future__ import annotations

import asyncio

from aiokafka.errors import KafkaError

from schemas.control import ControlRecord
from schemas.topics import CONTROL
from services.router.errors import LogUnavailableError
from services.router.publisher import Publisher

BOUND_S = 5.0


async def announce_version(publisher: Publisher, version: int) -> None:
    """Write the version to the control topic, acknowledged.

    Raises :class:`LogUnavailableError`: post the table again to announce it.
    """
    record = ControlRecord(kind="routes", entity_id="table", version=version)
    session = publisher.session
    if session is None:
        raise LogUnavailableError("Kafka is away")
    try:
        async with asyncio.timeout(BOUND_S):
            await session.producer.send_and_wait(CONTROL, value=record.to_json(), key=record.key.encode())
    except (KafkaError, TimeoutError) as exc:
        raise LogUnavailableError("Kafka did not acknowledge the announcement") from exc
