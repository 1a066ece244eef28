"""Hands events over: to Kafka while it acknowledges within two seconds, else to settlement's ingress.

One round is under way at a time: what arrives meanwhile makes the next round, so that load makes batches larger and not more.
A round that Kafka did not acknowledge in time goes to the ingress as well; the producer keeps trying it, and every reader
absorbs the second copy by its event id. While such a round is overdue Kafka counts as away, and rounds take the ingress at
once; when it is acknowledged at last, Kafka is back.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.calls import IngressBatch
from schemas.envelope import TYPE_HEADER, Event
from services.edge import metrics
from services.edge.broker import Broker
from services.edge.errors import BrokerUnavailableError, PeerUnavailableError
from services.edge.outgoing import Outgoing, Partitions, Waiting, ingress_batch

log = structlog.get_logger(__name__)

ACK_TIMEOUT_S = 2.0
RETRY_S = 0.5
MAX_ROUND = 500
SendToIngress = Callable[[IngressBatch], Awaitable[None]]


class Publisher:
    """`publish` never waits. `run` is the loop that hands over; `close` ends it with everything handed over, if it can be."""

    def __init__(self, broker: Broker, ingress: SendToIngress, topic: str, *, limit: int, linger_s: float) -> None:
        self._broker = broker
        self._ingress = ingress
        self._topic = topic
        self._linger_s = linger_s
        self._waiting = Waiting(limit)
        self._partitions = Partitions()
        self._overdue: dict[asyncio.Task[None], AIOKafkaProducer] = {}
        self._wake = asyncio.Event()
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def full(self) -> bool:
        """Whether so much waits that no new work should be let in."""
        return self._waiting.full

    def publish(self, event: Event) -> bool:
        """Queue an event; False, and counted, where there is no room."""
        if not self._waiting.put(event):
            metrics.EVENTS_DROPPED.inc()
            return False
        self._idle.clear()
        self._wake.set()
        return True

    async def run(self) -> None:
        """Hand over until cancelled."""
        while True:
            await self._wake.wait()
            if not self._closing:
                await asyncio.sleep(self._linger_s)
            self._wake.clear()
            while len(self._waiting):
                await self._hand_over(self._waiting.take(MAX_ROUND))
                metrics.EVENTS_PENDING.set(len(self._waiting))
            self._idle.set()

    async def close(self, timeout_s: float) -> None:
        """Wait, bounded, until nothing is left to hand over."""
        self._closing = True
        self._wake.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            log.exception("events were not handed over before the end", events=len(self._waiting))
        for task in list(self._overdue):
            task.cancel()

    async def _hand_over(self, events: list[Outgoing]) -> None:
        while True:
            if await self._to_kafka(events) or await self._to_ingress(events):
                return
            await asyncio.sleep(RETRY_S)

    async def _to_kafka(self, events: list[Outgoing]) -> bool:
        if self._away():
            metrics.KAFKA_UP.set(0)
            return False
        producer = self._broker.producer()
        task = asyncio.create_task(self._produce(producer, events), name="produce")
        done, _ = await asyncio.wait({task}, timeout=ACK_TIMEOUT_S)
        if not done:
            log.warning("kafka did not acknowledge in time, using the ingress", events=len(events))
            self._overdue[task] = producer
            task.add_done_callback(self._settle_overdue)
            return False
        try:
            task.result()
        except BrokerUnavailableError:
            return False
        metrics.KAFKA_UP.set(1)
        metrics.EVENTS.labels("kafka").inc(len(events))
        return True

    def _away(self) -> bool:
        """Whether Kafka is not reached, or still owes an acknowledgement. What a replaced producer owed is not waited for."""
        for task, producer in list(self._overdue.items()):
            if not self._broker.owns(producer):
                task.cancel()
                del self._overdue[task]
        return bool(self._overdue) or not self._broker.connected

    def _settle_overdue(self, task: asyncio.Task[None]) -> None:
        self._overdue.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            log.info("kafka acknowledges again")
        elif not isinstance(error, BrokerUnavailableError):
            log.error("an overdue round failed; the ingress has its events", exc_info=error)

    async def _produce(self, producer: AIOKafkaProducer, events: list[Outgoing]) -> None:
        """One batch per partition, acknowledged. Raises :class:`BrokerUnavailableError`."""
        try:
            count = len(await producer.partitions_for(self._topic))
            chosen = self._partitions.split(events, count).items()
            batches = [(partition, batch) for partition, some in chosen for batch in _batches(producer, some)]
            acks = [await producer.send_batch(batch, self._topic, partition=partition) for partition, batch in batches]
            await asyncio.gather(*acks)
        except (KafkaError, OSError, AssertionError) as error:
            log.warning("kafka refused a batch, starting its producer again", error=repr(error))
            await self._broker.renew(producer)
            raise BrokerUnavailableError(repr(error)) from error

    async def _to_ingress(self, events: list[Outgoing]) -> bool:
        try:
            await self._ingress(ingress_batch(self._topic, events))
        except PeerUnavailableError as error:
            log.warning("neither kafka nor the ingress takes events, trying again", events=len(events), error=str(error))
            return False
        metrics.EVENTS.labels("ingress").inc(len(events))
        return True


def _batches(producer: AIOKafkaProducer, events: list[Outgoing]) -> list[Any]:
    """Closed batches of the producer, as many as the events fill."""
    batches = [producer.create_batch()]
    for out in events:
        record = {
            "timestamp": None,
            "key": out.event.account_id.encode(),
            "value": out.value,
            "headers": [(TYPE_HEADER, out.event.type.encode())],
        }
        if batches[-1].append(**record) is None:
            batches.append(producer.create_batch())
            batches[-1].append(**record)
    for batch in batches:
        batch.close()
    return batches
