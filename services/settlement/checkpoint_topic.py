"""Checkpoints as they lie on the ledger's topic, which whoever can write to the database cannot change."""

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas import topics
from schemas.ledger import OPERATOR, CheckpointPublished
from services.settlement.partitions import partition_of
from services.settlement.records import type_of
from services.settlement.seal_check import Published

TOPIC = "topic"
FETCH_MS = 1000
SILENT_FETCHES = 30


async def published_checkpoints(bootstrap_servers: str) -> list[Published]:
    """Every checkpoint on the topic, up to its end as it is now. Raises KafkaError when the broker does not answer."""
    partition = TopicPartition(topics.LEDGER, partition_of(topics.LEDGER, OPERATOR))
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers, enable_auto_commit=False, auto_offset_reset="none", request_timeout_ms=10_000
    )
    try:
        await consumer.start()
        consumer.assign([partition])
        first: Mapping[TopicPartition, int] = await consumer.beginning_offsets([partition])
        ends: Mapping[TopicPartition, int] = await consumer.end_offsets([partition])
        consumer.seek(partition, first[partition])
        return await _read(consumer, partition, ends[partition])
    finally:
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer, partition: TopicPartition, end: int) -> list[Published]:
    found: list[Published] = []
    silent = 0
    while await consumer.position(partition) < end:
        records = (await consumer.getmany(partition, timeout_ms=FETCH_MS)).get(partition, [])
        silent = 0 if records else silent + 1
        if silent > SILENT_FETCHES:
            raise KafkaError(f"{topics.LEDGER} sends nothing before its end {end}")
        for record in records:
            if type_of(record.headers) == CheckpointPublished.__name__:
                data = CheckpointPublished.model_validate_json(record.value).data
                found.append(Published(TOPIC, data.size, data.note))
    return found
