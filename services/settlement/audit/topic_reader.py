"""Reads topics from their first record to an end that is known before: every record once, no group, no commits."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.settlement.partitions import partitions_of

FETCH_RECORDS = 2000
SILENCE_MS = 1000
PATIENCE = 60
"""Fetches in a row without a record, a second each, after which Kafka is taken for silent."""
Places = dict[int, int]
"""Offset by partition."""


class SilentTopicError(Exception):
    """Kafka does not send what lies below the end that it told: see that the broker is well, then ask again."""


class TopicReader:
    """One consumer, assigned anew for every reading."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    async def ends(self, topic: str) -> Places:
        """Where the topic's partitions end."""
        found: Mapping[TopicPartition, int] = await self._consumer.end_offsets(partitions_of(topic))
        return {partition.partition: end for partition, end in found.items()}

    async def begins(self, topic: str) -> Places:
        """Where the topic's partitions begin: at 0 unless records were removed."""
        found: Mapping[TopicPartition, int] = await self._consumer.beginning_offsets(partitions_of(topic))
        return {partition.partition: begin for partition, begin in found.items()}

    async def read(self, topic: str, *, begins: Mapping[int, int], ends: Mapping[int, int]) -> AsyncIterator[list[Any]]:
        """The records from `begins` up to (not with) `ends`, in order within each partition."""
        left = {TopicPartition(topic, partition) for partition, end in ends.items() if begins.get(partition, 0) < end}
        if not left:
            return
        self._consumer.assign(list(left))
        for partition in left:
            self._consumer.seek(partition, begins.get(partition.partition, 0))
        silent = 0
        while left:
            fetched = await self._consumer.getmany(*left, timeout_ms=SILENCE_MS, max_records=FETCH_RECORDS)
            silent = 0 if fetched else silent + 1
            if silent > PATIENCE:
                raise SilentTopicError(f"{topic} sends nothing before its ends {dict(ends)}")
            for partition, records in fetched.items():
                end = ends[partition.partition]
                wanted = [record for record in records if record.offset < end]
                if wanted:
                    yield wanted
                if records[-1].offset + 1 >= end:
                    left.discard(partition)


def missing_offsets(records: Iterable[Any], following: Places) -> list[str]:
    """Where a partition leaves offsets out. `following` has the next offset by partition and is moved on."""
    found = []
    for record in records:
        expected = following.get(record.partition, 0)
        if record.offset > expected:
            found.append(f"{record.topic}/{record.partition}: offsets {expected} to {record.offset - 1} are gone")
        following[record.partition] = record.offset + 1
    return found


@asynccontextmanager
async def topic_reader(bootstrap_servers: str) -> AsyncIterator[TopicReader]:
    """A reader until the block ends."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=4 << 20,
        # A question waits on the connection until the fetch before it is answered.
        fetch_max_wait_ms=20,
    )
    await consumer.start()
    try:
        yield TopicReader(consumer)
    finally:
        try:
            await consumer.stop()
        except asyncio.CancelledError:
            # aiokafka cancels its own fetches, and one of them may say so here; nobody has cancelled us.
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
