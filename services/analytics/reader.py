"""Reading the topics with offsets of our own: no group, nothing committed to Kafka."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from services.analytics.batch import Batch, Partition
from services.analytics.closing import close
from services.analytics.errors import LogTruncatedError, ReplayShortError, TopicMissingError, TransientError
from services.analytics.rows.decode import Record

FETCH_MIN_BYTES = 1024 * 1024
PARTITION_FETCH_BYTES = 2 * FETCH_MIN_BYTES
FETCH_MAX_WAIT_MS = 300
REPLAY_TIMEOUT_S = 30
ENDS_TIMEOUT_S = 5
SILENCE_TIMEOUT_S = 15
STOP_TIMEOUT_S = 5
log = structlog.get_logger("analytics.reader")


class KafkaAwayError(TransientError):
    """Kafka did not answer: try again after a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one batch. It closes `flush_seconds` after its first record came, or when it is full."""

    flush_seconds: float
    rows: int
    size_bytes: int = 32 * 1024 * 1024
    idle_seconds: float = 5.0


class Reader:
    """All partitions of the given topics, new ones included."""

    def __init__(self, bootstrap_servers: str, topics: Iterable[str]) -> None:
        # The broker holds a fetch until there is something worth the way: an idle loader costs three requests a second.
        self._consumer = AIOKafkaConsumer(
            *topics,
            bootstrap_servers=bootstrap_servers,
            client_id="tollbook-analytics-loader",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_min_bytes=FETCH_MIN_BYTES,
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
        )

    async def start(self) -> None:
        """Connect and take all partitions; nothing is fetched before it is known from where.

        Raises :class:`TopicMissingError` or :class:`KafkaAwayError`.
        """
        try:
            await self._consumer.start()
        except UnknownTopicOrPartitionError as error:
            await self.stop()
            raise TopicMissingError(f"a topic is missing: {error}") from error
        except (KafkaError, OSError) as error:
            await self.stop()
            raise KafkaAwayError(f"Kafka: {error}") from error
        self._consumer.pause(*self._consumer.assignment())

    async def stop(self) -> None:
        """Disconnect."""
        if (problem := await close(self._consumer.stop(), STOP_TIMEOUT_S)) is not None:
            log.warning("the consumer did not close", problem=problem)
            await close(self._consumer._client.close(), STOP_TIMEOUT_S)

    async def seek(self, next_offsets: Mapping[Partition, int]) -> None:
        """Read on from the given offsets, and every other partition from its beginning."""
        partitions = self._consumer.assignment()
        unknown: list[TopicPartition] = []
        for partition in partitions:
            offset = next_offsets.get((partition.topic, partition.partition))
            if offset is None:
                unknown.append(partition)
            else:
                self._consumer.seek(partition, offset)
        if unknown:
            await self._consumer.seek_to_beginning(*unknown)
        self._consumer.resume(*partitions)

    async def gather(self, limits: Limits) -> list[Record]:
        """The next records, each partition's in order; none after an idle while. Raises :class:`KafkaAwayError`."""
        clock = asyncio.get_running_loop().time
        records: list[Record] = []
        size_bytes = 0
        closes_at: float | None = None
        while len(records) < limits.rows and size_bytes < limits.size_bytes:
            wait_s = limits.idle_seconds if closes_at is None else closes_at - clock()
            if wait_s <= 0:
                break
            found = await self._getmany(wait_s, limits.rows - len(records))
            if closes_at is None:
                if not found:
                    break
                closes_at = clock() + limits.flush_seconds
            records += found
            size_bytes += sum(len(record.value or b"") for record in found)
        return records

    async def replay(self, batch: Batch) -> list[Record]:
        """Exactly the records of a recorded batch. Raises :class:`ReplayShortError` when Kafka does not return them all."""
        wanted = {TopicPartition(topic, number): r for (topic, number), r in batch.ranges.items()}
        if missing := wanted.keys() - self._consumer.assignment():
            raise ReplayShortError(f"recorded partitions are missing: {sorted(missing)}")
        for partition, r in wanted.items():
            self._consumer.seek(partition, r.first)
        self._consumer.resume(*wanted)
        found: dict[TopicPartition, list[Record]] = {partition: [] for partition in wanted}
        try:
            async with asyncio.timeout(REPLAY_TIMEOUT_S):
                while unread := [one for one, r in wanted.items() if not found[one] or found[one][-1].offset < r.last]:
                    for record in await self._getmany(1.0, None, *unread):
                        partition = TopicPartition(record.topic, record.partition)
                        if record.offset <= wanted[partition].last:
                            found[partition].append(record)
        except TimeoutError as error:
            raise ReplayShortError(f"Kafka did not return what was recorded in time: {batch.to_json()}") from error
        self._consumer.pause(*wanted)
        return _whole([record for records in found.values() for record in records], batch)

    async def begins(self) -> dict[Partition, int]:
        """The offset of the first record that Kafka has of every partition. Raises :class:`KafkaAwayError`."""
        return await self._edges(self._consumer.beginning_offsets)

    async def ends(self) -> dict[Partition, int]:
        """The offset behind the last record of every partition. Raises :class:`KafkaAwayError`."""
        return await self._edges(self._consumer.end_offsets)

    async def check_silence(self) -> None:
        """Nothing came: is there nothing, or does Kafka hang? Raises :class:`KafkaAwayError`."""
        await self._edges(self._consumer.end_offsets, SILENCE_TIMEOUT_S)

    async def _edges(
        self, ask: Callable[[list[TopicPartition]], Awaitable[Mapping[Any, int]]], timeout_s: float = ENDS_TIMEOUT_S
    ) -> dict[Partition, int]:
        try:
            async with asyncio.timeout(timeout_s):
                edges = await ask(sorted(self._consumer.assignment()))
        except (KafkaError, OSError, TimeoutError) as error:
            raise KafkaAwayError(f"Kafka: {error!r}") from error
        return {(partition.topic, partition.partition): offset for partition, offset in edges.items()}

    async def _getmany(self, wait_s: float, rows: int | None, *partitions: TopicPartition) -> list[Any]:
        try:
            found = await self._consumer.getmany(*partitions, timeout_ms=int(wait_s * 1000) + 1, max_records=rows)
        except (KafkaError, OSError) as error:
            raise KafkaAwayError(f"Kafka: {error}") from error
        return [record for records in found.values() for record in records]


def _whole(records: list[Record], batch: Batch) -> list[Record]:
    """The records, if they are the batch's. Raises :class:`LogTruncatedError`, or :class:`RewoundError` if they came anew."""
    for partition, r in Batch.of(records).ranges.items():
        wanted = batch.ranges[partition]
        check_reach(partition, wanted.first, r.first, wanted.last)
    return records


def check_reach(partition: Partition, wanted: int, first: int, end: int) -> None:
    """Whether Kafka has the wanted offset, given what it has. Raises :class:`LogTruncatedError` if not."""
    if not first <= wanted <= end:
        topic, number = partition
        raise LogTruncatedError(f"{topic}/{number}: expected offset {wanted}, Kafka has {first} to {end}")
