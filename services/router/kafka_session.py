"""One Kafka producer and its lanes: one batch per partition under way, the next one gathering meanwhile.

aiokafka sends a prepared batch (`create_batch`, `send_batch`) with the same sequence numbers and acknowledgements as single
records, and one at a time per partition, so that idempotence and order hold; it spares a future, a partitioner call and a size
estimate per record.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerClosed
from aiokafka.partitioner import DefaultPartitioner

from schemas.envelope import TYPE_HEADER
from services.router.events import Record

BATCH_BYTES = 256 * 1024
LINGER_S = 0.02
"""How long a record that nobody awaits waits for company."""
REQUEST_TIMEOUT_MS = 4_000
START_TIMEOUT_S = 8.0
STOP_TIMEOUT_S = 10.0
PARTITIONS_REMEMBERED = 10_000

log = structlog.get_logger(__name__)


class Entry:
    """One record on its way. `settled(None)` is called once it is safe, with an exception where it is lost."""

    __slots__ = ("account_id", "put_at", "record", "settled")

    def __init__(self, account_id: str, record: Record, put_at: float, settled: Callable[[Exception | None], None]) -> None:
        self.account_id = account_id
        self.record = record
        self.put_at = put_at
        self.settled = settled


class _Lane:
    __slots__ = ("in_flight", "partition", "pending", "task", "timer")

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.pending: deque[Entry] = deque()
        self.in_flight: list[Entry] = []
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None


class KafkaSession:
    """A started producer, used until it fails once, then thrown away: its unacknowledged entries are the caller's again."""

    def __init__(self, producer: Any, topic: str, partitions: list[int], on_failure: Callable[[], None]) -> None:
        self.producer = producer
        self._topic = topic
        self._partitions = sorted(partitions)
        self._on_failure = on_failure
        self._partitioner = DefaultPartitioner()
        self._partition_of: dict[str, int] = {}
        self._lanes = {partition: _Lane(partition) for partition in partitions}
        self.failed = False
        self.size = 0

    @classmethod
    async def open(cls, servers: str, topic: str, on_failure: Callable[[], None]) -> KafkaSession:
        """A session whose broker answered. Raises KafkaError or TimeoutError where it did not."""
        producer = AIOKafkaProducer(
            bootstrap_servers=servers,
            client_id="tollbook-router",
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await producer.start()
                partitions = await producer.partitions_for(topic)
        except BaseException:
            await _kill(producer)
            raise
        return cls(producer, topic, list(partitions), on_failure)

    def put(self, entries: Iterable[Entry], *, urgent: bool) -> None:
        """Send the entries, in order; all belong to one account. Those that are not urgent may wait a moment for others."""
        lane: _Lane | None = None
        for entry in entries:
            if lane is None:
                lane = self._lane_of(entry.account_id)
            lane.pending.append(entry)
            self.size += 1
        if lane is None or lane.task is not None:
            return
        if urgent:
            self._begin(lane)
        elif lane.timer is None:
            lane.timer = asyncio.get_running_loop().call_later(LINGER_S, self._begin, lane)

    def oldest(self) -> float | None:
        """When the oldest unacknowledged entry was put, None where there is none."""
        heads = [queue[0].put_at for lane in self._lanes.values() for queue in (lane.in_flight, lane.pending) if queue]
        return min(heads, default=None)

    async def flush(self, bound_s: float) -> None:
        """Send what waits, and wait at most `bound_s` seconds for its acknowledgement."""
        for lane in self._lanes.values():
            if lane.pending:
                self._begin(lane)
        if tasks := [lane.task for lane in self._lanes.values() if lane.task is not None]:
            await asyncio.wait(tasks, timeout=bound_s)

    def abandon(self) -> list[Entry]:
        """Give up: every entry that was not acknowledged, in order per account. Nothing is sent any more that was not yet."""
        self.failed = True
        entries: list[Entry] = []
        for lane in self._lanes.values():
            if lane.task is not None:
                lane.task.cancel()
            if lane.timer is not None:
                lane.timer.cancel()
            entries += lane.in_flight
            entries += lane.pending
            lane.in_flight, lane.pending = [], deque()
        self.size = 0
        return entries

    async def close(self) -> None:
        """Stop the producer, whatever state it is in."""
        await _kill(self.producer)

    def _lane_of(self, account_id: str) -> _Lane:
        partition = self._partition_of.get(account_id)
        if partition is None:
            if len(self._partition_of) >= PARTITIONS_REMEMBERED:
                self._partition_of.clear()
            partition = self._partitioner(account_id.encode(), self._partitions, self._partitions)
            self._partition_of[account_id] = partition
        return self._lanes[partition]

    def _begin(self, lane: _Lane) -> None:
        if lane.timer is not None:
            lane.timer.cancel()
            lane.timer = None
        if lane.task is None and not self.failed:
            lane.task = asyncio.create_task(self._drain(lane))

    async def _drain(self, lane: _Lane) -> None:
        try:
            while lane.pending:
                await self._send_one(lane)
        except Exception as exc:  # noqa: BLE001 - whatever it is: these records are not acknowledged, and go another way
            log.warning("kafka_batch_failed", partition=lane.partition, reason=repr(exc))
            self.failed = True
            self._on_failure()
            return
        lane.task = None

    async def _send_one(self, lane: _Lane) -> None:
        batch = self.producer.create_batch()
        while lane.pending:
            entry = lane.pending[0]
            type_, _, value = entry.record
            headers = [(TYPE_HEADER, type_.encode())]
            if batch.append(timestamp=None, key=entry.account_id.encode(), value=value, headers=headers) is None:
                break
            lane.in_flight.append(lane.pending.popleft())
        acknowledged = await self.producer.send_batch(batch, self._topic, partition=lane.partition)
        await acknowledged
        done, lane.in_flight = lane.in_flight, []
        self.size -= len(done)
        for entry in done:
            entry.settled(None)


async def _kill(producer: Any) -> None:
    # stop() first flushes, which never ends while the broker is away: without a sender and with every batch failed it does.
    sender = producer._sender.sender_task
    if sender is not None:
        sender.cancel()
    producer._message_accumulator.fail_all(ProducerClosed())
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await producer.stop()
    except (KafkaError, TimeoutError, asyncio.CancelledError) as exc:
        if isinstance(exc, asyncio.CancelledError) and (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        log.warning("kafka_producer_not_stopped", reason=repr(exc))
