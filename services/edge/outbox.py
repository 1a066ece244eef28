"""Publishes what requests left in Postgres: every row, and each is only taken away once Kafka has it. Twice is harmless."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from typing import NamedTuple

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.envelope import TYPE_HEADER
from services.edge.broker import Broker
from services.edge.database import Database
from services.edge.errors import BrokerUnavailableError, StoreUnavailableError

log = structlog.get_logger(__name__)

POLL_S = 1.0
ACK_TIMEOUT_S = 5.0


class Outgoing(NamedTuple):
    """A record for Kafka; `type` goes into its header."""

    key: bytes
    type: str
    value: bytes


class Outbox(ABC):
    """One table's way to Kafka; `nudge` wakes it, and it looks by itself for what another instance left behind."""

    name: str
    """What waits in it, as the log says it."""

    def __init__(self, database: Database, broker: Broker, topic: str) -> None:
        self._database = database
        self._broker = broker
        self._topic = topic
        self._wake = asyncio.Event()

    @abstractmethod
    async def relay(self) -> int:
        """Publish the oldest rows and return how many. Raises when Kafka or Postgres is away; nothing is lost then."""

    def nudge(self) -> None:
        """There is something to publish."""
        self._wake.set()

    async def run(self) -> None:
        """Relay until cancelled; looks every second."""
        said = False
        while True:
            try:
                while await self.relay():
                    pass
                said = False
            except (BrokerUnavailableError, StoreUnavailableError) as error:
                if not said:
                    log.warning(f"{self.name} wait in the outbox", error=str(error))
                said = True
                self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._wake.wait()
            self._wake.clear()

    async def publish(self, records: list[Outgoing]) -> None:
        """Send and wait until Kafka has all of them. Raises :class:`BrokerUnavailableError`."""
        producer = self._broker.producer()
        try:
            async with asyncio.timeout(ACK_TIMEOUT_S):
                await asyncio.gather(*[await self._send(producer, record) for record in records])
        except TimeoutError:
            raise BrokerUnavailableError(f"kafka did not acknowledge {self.name} in time") from None
        except (KafkaError, OSError) as error:
            await self._broker.renew(producer)
            raise BrokerUnavailableError(repr(error)) from error

    async def _send(self, producer: AIOKafkaProducer, record: Outgoing) -> asyncio.Future[object]:
        headers = [(TYPE_HEADER, record.type.encode())]
        sent: asyncio.Future[object] = await producer.send(self._topic, value=record.value, key=record.key, headers=headers)
        return sent
