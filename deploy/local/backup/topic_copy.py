"""Kafka's topics into files and back: every record under its own offset."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local.backup.errors import BackupError, BrokenBackupError
from deploy.local.backup.manifest import Partition
from deploy.local.backup.record_file import Kept, RecordWriter, reading, writing
from schemas import topics

DIRECTORY = "topics"
FETCH_BYTES = 4 << 20
FETCH_RECORDS = 5000
SILENCE_MS = 1000
PATIENCE = 60
"""Fetches in a row without a record, a second each, after which Kafka is taken for silent."""
BATCH_BYTES = 900_000
"""Under the broker's own bound of 1 MB per batch."""
IN_FLIGHT = 16
Copied = dict[str, dict[str, Partition]]


def reader(bootstrap_servers: str) -> AIOKafkaConsumer:
    """A consumer that belongs to no group and commits nothing."""
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=FETCH_BYTES,
        request_timeout_ms=20_000,
    )


async def copy_out(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int], directory: Path) -> Copied:
    """Write every record below the ends. Raises BackupError where records are gone, KafkaError."""
    begins: Mapping[TopicPartition, int] = await consumer.beginning_offsets(list(ends))
    for place, first in begins.items():
        if first and not _compacted(place.topic):
            raise BackupError(
                f"{place.topic}/{place.partition} begins at {first}: its first records are gone, and with them a book"
            )
    with ExitStack() as files:
        writers = {place: files.enter_context(writing(_made(directory, place))) for place in ends}
        await _read(consumer, begins, ends, writers)
    copied: Copied = {}
    for place, end in sorted(ends.items()):
        records = writers[place].records
        if not _compacted(place.topic) and records != end:
            raise BackupError(f"{place.topic}/{place.partition} has {records} records below offset {end}: some are gone")
        kept = Partition(first=begins[place], end=end, records=records)
        copied.setdefault(place.topic, {})[str(place.partition)] = kept
    return copied


async def copy_in(bootstrap_servers: str, copied: Mapping[str, Mapping[str, Partition]], directory: Path) -> None:
    """Write every record into the topics, which exist and are empty. Raises BackupError, BrokenBackupError, KafkaError."""
    await _must_be_empty(bootstrap_servers, copied)
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers, acks="all", enable_idempotence=True, max_batch_size=BATCH_BYTES
    )
    await producer.start()
    try:
        for place, kept in _places(copied):
            await _write(producer, place, kept, path_of(directory, place))
    finally:
        await producer.stop()


def path_of(directory: Path, place: TopicPartition) -> Path:
    """Where a partition's records lie in a backup."""
    topic: str = place.topic
    return directory / DIRECTORY / topic / f"{place.partition}.records.gz"


async def _must_be_empty(bootstrap_servers: str, copied: Mapping[str, Mapping[str, Partition]]) -> None:
    consumer = reader(bootstrap_servers)
    await consumer.start()
    try:
        ends = await consumer.end_offsets([place for place, _ in _places(copied)])
    finally:
        await consumer.stop()
    if full := sorted(f"{place.topic}/{place.partition}" for place, end in ends.items() if end):
        raise BackupError(f"Kafka has records of Tollbook already, in {', '.join(full)}: restore into a cluster that has none")


async def _read(
    consumer: Any,
    begins: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    writers: Mapping[TopicPartition, RecordWriter],
) -> None:
    left = {place for place, end in ends.items() if begins[place] < end}
    if not left:
        return
    consumer.assign(list(left))
    for place in left:
        consumer.seek(place, begins[place])
    silent = 0
    while left:
        fetched = await consumer.getmany(*left, timeout_ms=SILENCE_MS, max_records=FETCH_RECORDS)
        silent = 0 if fetched else silent + 1
        if silent > PATIENCE:
            raise BackupError(
                f"Kafka sends nothing of {sorted(left)[0].topic} before its end: see that it is well, then try again"
            )
        for place, records in fetched.items():
            for record in records:
                if record.offset < ends[place]:
                    writers[place].add(Kept(record.offset, record.timestamp, record.key, record.value, record.headers))
        # A compacted topic may end in a record that is gone: the position says how far the reading came.
        left = {place for place in left if await consumer.position(place) < ends[place]}


async def _write(producer: Any, place: TopicPartition, kept: Partition, path: Path) -> None:
    """Write one partition, batch after batch; each record's offset must come out as it was."""
    following = 0
    sent: list[asyncio.Future[Any]] = []
    batches = _batches(producer, reading(path))
    while some := list(islice(batches, IN_FLIGHT)):
        sent = [await producer.send_batch(batch, place.topic, partition=place.partition) for batch, _ in some]
        for (_, records), metadata in zip(some, await asyncio.gather(*sent), strict=True):
            if not _compacted(place.topic) and metadata.offset != records[0]:
                raise BackupError(f"{place.topic}/{place.partition}: record {records[0]} came to lie at {metadata.offset}")
            following += len(records)
    if following != kept.records:
        raise BrokenBackupError(f"{path} has {following} records, and its manifest says {kept.records}")


def _batches(producer: Any, records: Iterable[Kept]) -> Iterator[tuple[Any, list[int]]]:
    """Batches as large as the broker takes, each with the offsets that its records had."""
    batch, offsets = producer.create_batch(), list[int]()
    for record in records:
        fields = {"timestamp": record.timestamp_ms, "key": record.key, "value": record.value, "headers": list(record.headers)}
        if batch.append(**fields) is None:
            batch.close()
            yield batch, offsets
            batch, offsets = producer.create_batch(), []
            if batch.append(**fields) is None:
                raise BackupError(f"record {record.offset} is larger than the broker takes")
        offsets.append(record.offset)
    if offsets:
        batch.close()
        yield batch, offsets


def _places(copied: Mapping[str, Mapping[str, Partition]]) -> Iterator[tuple[TopicPartition, Partition]]:
    for topic, partitions in copied.items():
        for number, kept in partitions.items():
            yield TopicPartition(topic, int(number)), kept


def _made(directory: Path, place: TopicPartition) -> Path:
    path = path_of(directory, place)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _compacted(topic: str) -> bool:
    """Whether only the latest record of a key is kept: the offsets have gaps, and nobody remembers them."""
    return topics.topics()[topic].cleanup_policy == "compact"
