"""The connection to Kafka as a writer: acks=all, idempotent, started again when it breaks for good."""

import asyncio
import contextlib

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from services.edge.errors import BrokerUnavailableError

log = structlog.get_logger(__name__)

START_RETRY_S = 1.0
STOP_TIMEOUT_S = 3.0
MAX_BATCH_BYTES = 512 * 1024


class Broker:
    """Owns the producer. While Kafka is away at the start, or after a fatal error, it keeps trying in the background."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._producer: AIOKafkaProducer | None = None
        self._starting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect; returns at once."""
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(self._connect(), name="broker-connect")

    def producer(self) -> AIOKafkaProducer:
        """The producer. Raises :class:`BrokerUnavailableError` while there is none."""
        if self._producer is None:
            raise BrokerUnavailableError("not connected to Kafka")
        return self._producer

    @property
    def connected(self) -> bool:
        """Whether there is a producer that once reached Kafka."""
        return self._producer is not None

    def owns(self, producer: AIOKafkaProducer) -> bool:
        """Whether this is the producer in use."""
        return self._producer is producer

    async def renew(self, broken: AIOKafkaProducer) -> None:
        """Replace a producer that failed for good (its sequence numbers were lost, or it was fenced)."""
        if self._producer is broken:
            self._producer = None
            await _stop(broken)
            self.start()

    async def stop(self) -> None:
        """Close the connection; what is unacknowledged was handed to the ingress by then."""
        if self._starting is not None:
            self._starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._starting
        if self._producer is not None:
            await _stop(self._producer)
            self._producer = None

    async def _connect(self) -> None:
        said = False
        while True:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap_servers,
                client_id="tollbook-edge",
                acks="all",
                enable_idempotence=True,
                max_batch_size=MAX_BATCH_BYTES,
                request_timeout_ms=10_000,
                retry_backoff_ms=250,
            )
            try:
                await producer.start()
            except (KafkaError, OSError) as error:
                await _stop(producer)
                if not said:
                    log.warning("kafka is away, trying until it is back", error=repr(error))
                    said = True
                await asyncio.sleep(START_RETRY_S)
            except asyncio.CancelledError:
                await _stop(producer)
                raise
            else:
                self._producer = producer
                log.info("connected to kafka")
                return


async def _stop(producer: AIOKafkaProducer) -> None:
    """Close a producer without waiting for ever for a broker that is away."""
    with contextlib.suppress(TimeoutError, KafkaError):
        await asyncio.wait_for(producer.stop(), STOP_TIMEOUT_S)
