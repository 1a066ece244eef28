"""Publishes the batches that were let in: each once it is in Postgres, marked once Kafka has it. Twice is harmless."""

import asyncio
import contextlib

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.batches import BatchAccepted
from schemas.envelope import TYPE_HEADER
from services.edge import metrics
from services.edge.broker import Broker
from services.edge.database import Database, rows_of
from services.edge.errors import BrokerUnavailableError, StoreUnavailableError

log = structlog.get_logger(__name__)

POLL_S = 1.0
ACK_TIMEOUT_S = 4.0
MAX_ROUND = 100


class BatchOutbox:
    """Several instances may relay at once: each takes rows that no other has locked. `nudge` wakes this one."""

    def __init__(self, database: Database, broker: Broker, topic: str) -> None:
        self._database = database
        self._broker = broker
        self._topic = topic
        self._wake = asyncio.Event()

    def nudge(self) -> None:
        """There is a batch to publish."""
        self._wake.set()

    async def run(self) -> None:
        """Relay until cancelled; looks by itself every second for what another instance left behind."""
        said = False
        while True:
            try:
                while await self.relay() == MAX_ROUND:
                    pass
                said = False
            except (BrokerUnavailableError, StoreUnavailableError) as error:
                if not said:
                    log.warning("batches wait in the outbox", error=str(error))
                said = True
                self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._wake.wait()
            self._wake.clear()

    async def relay(self) -> int:
        """Publish the oldest batches and return how many. Raises when Kafka or Postgres is away; nothing is lost then."""
        async with self._database.transaction() as connection:
            pending = await rows_of(connection, "batches_to_announce", {"limit": MAX_ROUND})
            if pending:
                await self._publish([BatchAccepted.model_validate(row["event"]) for row in pending])
                await rows_of(connection, "mark_announced", {"ids": [row["batch_id"] for row in pending]})
        metrics.EVENTS.labels("kafka").inc(len(pending))
        return len(pending)

    async def _publish(self, events: list[BatchAccepted]) -> None:
        producer = self._broker.producer()
        try:
            async with asyncio.timeout(ACK_TIMEOUT_S):
                await asyncio.gather(*[await self._send(producer, event) for event in events])
        except TimeoutError:
            raise BrokerUnavailableError("kafka did not acknowledge batches in time") from None
        except (KafkaError, OSError) as error:
            await self._broker.renew(producer)
            raise BrokerUnavailableError(repr(error)) from error

    async def _send(self, producer: AIOKafkaProducer, event: BatchAccepted) -> asyncio.Future[object]:
        headers = [(TYPE_HEADER, event.type.encode())]
        sent: asyncio.Future[object] = await producer.send(
            self._topic, value=event.to_json(), key=event.account_id.encode(), headers=headers
        )
        return sent
