"""What nobody should be able to do to a topic: take a record out of its middle, or its oldest ones off."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from deploy.local import topics as stack_topics
from schemas.topics import topics as described


def records_of(kafka: str, topic: str) -> list[Any]:
    """Every record, partition by partition in order."""

    async def read() -> list[Any]:
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest")
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, each) for each in range(described()[topic].partitions)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[Any] = []
            while any([await consumer.position(each) < ends[each] for each in partitions]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += records
            return found
        finally:
            await consumer.stop()

    return asyncio.run(read())


@contextmanager
def without_first(kafka: str, topic: str, *types: str) -> Iterator[list[dict[str, Any]]]:
    """The topic without the first event of each type; whole again at the end."""
    records = records_of(kafka, topic)
    first: dict[str, Any] = {}
    for record in records:
        first.setdefault(orjson.loads(record.value)["type"], record)
    dropped = [first[each] for each in types]
    _rewrite(kafka, topic, [record for record in records if record not in dropped])
    try:
        yield [orjson.loads(record.value) for record in dropped]
    finally:
        _rewrite(kafka, topic, records)


def take_out(kafka: str, topic: str, event_id: str) -> None:
    """The topic without one event, for good."""
    kept = [record for record in records_of(kafka, topic) if orjson.loads(record.value)["event_id"] != event_id]
    _rewrite(kafka, topic, kept)


def remove_oldest(kafka: str, topic: str, count: int) -> None:
    """The first records of each partition that has them are gone, as retention takes them."""

    async def remove() -> None:
        client = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await client.start()
        try:
            lengths: dict[int, int] = {}
            for record in records:
                lengths[record.partition] = record.offset + 1
            await client.delete_records(
                {TopicPartition(topic, each): RecordsToDelete(min(count, length)) for each, length in lengths.items()}
            )
        finally:
            await client.close()

    records = records_of(kafka, topic)
    asyncio.run(remove())


def _rewrite(kafka: str, topic: str, records: Sequence[Any]) -> None:
    async def write() -> None:
        client = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await client.start()
        try:
            async with asyncio.timeout(30):
                while topic in await client.list_topics():
                    await client.delete_topics([topic])
                    await asyncio.sleep(0.05)
        finally:
            await client.close()
        await stack_topics.create(kafka)
        producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
        await producer.start()
        try:
            for record in records:
                await producer.send(
                    topic, record.value, key=record.key, headers=list(record.headers), partition=record.partition
                )
            await producer.flush()
        finally:
            await producer.stop()

    asyncio.run(write())
