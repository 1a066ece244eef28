"""Which alerts are open, read back from the alerts topic: what was published is what is true, whatever died since."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from schemas import topics
from schemas.alerts import VelocityAlert
from services.analytics.reader import KafkaAwayError
from services.analytics.velocity import SIGNAL, Subject

READ_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that began and has not ended; `second` is the last of the window that it began with, from 1970."""

    subject: Subject
    name: str
    second: int


def open_alerts(alerts: Iterable[VelocityAlert]) -> dict[str, OpenAlert]:
    """Key id → every alert of our signal that is open after the given ones, in their order."""
    found: dict[str, OpenAlert] = {}
    for alert in alerts:
        if alert.data.signal != SIGNAL:
            continue
        if alert.data.state == "firing":
            subject = Subject(account_id=alert.account_id, key_id=alert.data.subject_id, environment=alert.environment)
            found[subject.key_id] = OpenAlert(subject, alert.data.alert_id, int(alert.data.window_end.timestamp()) - 1)
        else:
            found.pop(alert.data.subject_id, None)
    return found


async def read_alerts(bootstrap_servers: str) -> list[VelocityAlert]:
    """Every alert of the topic, in order. Records that are no alert are left to the loader, which sets them aside."""
    consumer = AIOKafkaConsumer(
        topics.ALERTS,
        bootstrap_servers=bootstrap_servers,
        client_id="tollbook-analytics-meter",
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            await consumer.start()
            return await _read_to_the_end(consumer)
    except (KafkaError, OSError, TimeoutError) as error:
        raise KafkaAwayError(f"the open alerts could not be read: {error}") from error
    finally:
        await consumer.stop()


async def _read_to_the_end(consumer: AIOKafkaConsumer) -> list[VelocityAlert]:
    ends = await consumer.end_offsets(list(consumer.assignment()))
    found: list[VelocityAlert] = []
    for partition, end in ends.items():
        while await consumer.position(partition) < end:
            batch = await consumer.getmany(partition, timeout_ms=1000)
            found += [alert for record in batch.get(partition, []) if (alert := _alert_of(record.value)) is not None]
    return found


def _alert_of(value: bytes | None) -> VelocityAlert | None:
    try:
        return VelocityAlert.model_validate_json(value or b"")
    except ValidationError:
        return None
