"""Publishes the control records that admin calls left in Postgres: every one, in order, deleted only once Kafka has it."""

import asyncio

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.control import ControlRecord
from schemas.envelope import TYPE_HEADER
from services.edge import metrics
from services.edge.broker import Broker
from services.edge.database import Database, rows_of
from services.edge.errors import BrokerUnavailableError, StoreUnavailableError

log = structlog.get_logger(__name__)

POLL_S = 1.0
ACK_TIMEOUT_S = 5.0
MAX_ROUND = 200


class ControlOutbox:
    """One relay publishes at a time, whichever instance holds the lock; `nudge` wakes this one."""

    def __init__(self, database: Database, broker: Broker, topic: str) -> None:
        self._database = database
        self._broker = broker
        self._topic = topic
        self._wake = asyncio.Event()

    def nudge(self) -> None:
        """There is something to publish."""
        self._wake.set()

    async def run(self) -> None:
        """Relay until cancelled; looks by itself every second for what another instance left behind."""
        said = False
        while True:
            try:
                while await self.relay():
                    pass
                said = False
            except (BrokerUnavailableError, StoreUnavailableError) as error:
                if not said:
                    log.warning("control records wait in the outbox", error=str(error))
                said = True
                self._wake.clear()
            await self._pause()

    async def relay(self) -> int:
        """Publish the oldest records and return how many. Raises when Kafka or Postgres is away; nothing is lost then."""
        async with self._database.transaction() as connection:
            if not (await rows_of(connection, "try_relay_lock"))[0]["locked"]:
                return 0
            pending = await rows_of(connection, "pending_control", {"limit": MAX_ROUND})
            if pending:
                await self._publish([ControlRecord.model_validate(row["record"]) for row in pending])
                await rows_of(connection, "delete_control", {"ids": [row["id"] for row in pending]})
        metrics.CONTROL_PUBLISHED.inc(len(pending))
        return len(pending)

    async def _publish(self, records: list[ControlRecord]) -> None:
        producer = self._broker.producer()
        try:
            async with asyncio.timeout(ACK_TIMEOUT_S):
                await asyncio.gather(*[await self._send(producer, record) for record in records])
        except TimeoutError:
            raise BrokerUnavailableError("kafka did not acknowledge control records in time") from None
        except (KafkaError, OSError) as error:
            await self._broker.renew(producer)
            raise BrokerUnavailableError(repr(error)) from error

    async def _send(self, producer: AIOKafkaProducer, record: ControlRecord) -> asyncio.Future[object]:
        headers = [(TYPE_HEADER, b"ControlRecord")]
        sent: asyncio.Future[object] = await producer.send(
            self._topic, value=record.to_json(), key=record.key.encode(), headers=headers
        )
        return sent

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL_S):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()
