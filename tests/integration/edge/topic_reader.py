"""What lies in a topic."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from schemas.envelope import Event
from schemas.registry import decode


def read_topic(bootstrap_servers: str, topic: str) -> list[ConsumerRecord]:
    """Every record that the topic holds now."""
    return asyncio.run(_read(bootstrap_servers, topic))


def read_events(bootstrap_servers: str, topic: str, account_id: str) -> list[Event]:
    """The events of one account in the topic, in order."""
    records = [record for record in read_topic(bootstrap_servers, topic) if record.key == account_id.encode()]
    return [decode(topic, dict(record.headers)["type"].decode(), record.value) for record in records]


async def _read(bootstrap_servers: str, topic: str) -> list[ConsumerRecord]:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap_servers, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        found: list[ConsumerRecord] = []
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            fetched: dict[object, Sequence[ConsumerRecord]] = await consumer.getmany(timeout_ms=200)
            found += [record for records in fetched.values() for record in records]
        return found
    finally:
        await consumer.stop()
