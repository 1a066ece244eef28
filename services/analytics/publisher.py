"""What analytics writes to Kafka: records that were set aside, usage samples for the velocity meter, alerts."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas import topics
from schemas.dead import DeadLetter, DeadLetterData
from schemas.envelope import TYPE_HEADER, Event
from schemas.samples import OPERATOR, ChannelSample, ChannelSampleData, ErrorCount, UsageSample, UsageSampleData
from services.analytics.closing import asked_to_end, close
from services.analytics.reader import KafkaAwayError
from services.analytics.rows.decode import Poison
from services.analytics.usage import ChannelSums, Sample

PUBLISH_TIMEOUT_S = 10
STOP_TIMEOUT_S = 2
log = structlog.get_logger("analytics.publisher")


class Publisher:
    """A producer with acks=all and idempotence on."""

    def __init__(self, bootstrap_servers: str, name: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._name = name
        self._producer: AIOKafkaProducer | None = None

    @property
    def started(self) -> bool:
        """Whether it is connected."""
        return self._producer is not None

    async def start(self) -> None:
        """Connect. Raises :class:`KafkaAwayError`."""
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap_servers,
            client_id=f"tollbook-{self._name}",
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=PUBLISH_TIMEOUT_S * 1000,
        )
        try:
            await self._producer.start()
        except (KafkaError, OSError) as error:
            await self.stop()
            raise KafkaAwayError(f"Kafka: {error}") from error

    async def stop(self) -> None:
        """Flush and disconnect; what Kafka does not take in time is given up, as its sender was told so already."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        if (problem := await close(producer.stop(), STOP_TIMEOUT_S)) is not None:
            log.warning("what was left to publish is given up", problem=problem)
            await close(_abandon(producer), STOP_TIMEOUT_S)

    async def set_aside(self, poison: Iterable[Poison]) -> None:
        """Write each poison record's place to the dead-letter topic; returns once that is acknowledged."""
        await self.publish(topics.DEAD, [dead_letter(record, self._name) for record in poison])

    async def publish_samples(self, samples: Iterable[Sample], channels: Iterable[ChannelSums], batch_no: int) -> None:
        """Write the samples of a batch to the usage topic; returns once they are acknowledged."""
        told: list[Event] = [usage_sample(sample, batch_no) for sample in samples]
        await self.publish(topics.USAGE, [*told, *(channel_sample(sums, batch_no) for sums in channels)])

    async def publish(self, topic: str, events: Sequence[Event]) -> None:
        """Write the events; returns once they are acknowledged. Raises :class:`KafkaAwayError`."""
        producer = self._producer
        assert producer is not None, "the publisher is started before it publishes"
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                sent = [
                    await producer.send(
                        topic,
                        key=event.account_id.encode(),
                        value=event.to_json(),
                        headers=[(TYPE_HEADER, event.type.encode())],
                    )
                    for event in events
                ]
                await asyncio.gather(*sent)
        except asyncio.CancelledError as error:
            if asked_to_end():
                raise
            raise KafkaAwayError(f"Kafka took no record for {topic}: the call was cancelled from within") from error
        except (KafkaError, OSError, TimeoutError) as error:
            raise KafkaAwayError(f"Kafka took no record for {topic}: {error!r}") from error


async def _abandon(producer: AIOKafkaProducer) -> None:
    """Close a producer whose stop did not come to an end: without this it would go on asking for ever."""
    try:
        if producer._sender is not None:
            await producer._sender.close()
    finally:
        await producer.client.close()


def dead_letter(poison: Poison, consumer: str) -> Event:
    """The dead letter of a record; its id derives from the record's place, so that a repeated one is absorbed."""
    return DeadLetter(
        event_id=uuid5(NAMESPACE_URL, f"{consumer}/{poison.topic}/{poison.partition}/{poison.offset}"),
        account_id=poison.account_id or "unknown",
        data=DeadLetterData(
            topic=poison.topic,
            partition=poison.partition,
            offset=poison.offset,
            consumer=consumer,
            reason=poison.reason,
            detail=poison.detail,
        ),
    )


def usage_sample(sample: Sample, batch_no: int | None = None) -> Event:
    """The sample as an event."""
    return UsageSample(
        account_id=sample.account_id,
        environment=sample.environment,
        data=UsageSampleData(
            project_id=sample.project_id,
            key_id=sample.key_id,
            second=datetime.fromtimestamp(sample.second, UTC),
            requests=sample.requests,
            tokens=sample.tokens,
            tags=list(sample.tags),
            batch_no=batch_no,
        ),
    )


def channel_sample(sums: ChannelSums, batch_no: int | None = None) -> Event:
    """The sums as an event."""
    return ChannelSample(
        account_id=OPERATOR,
        data=ChannelSampleData(
            channel=sums.channel,
            second=datetime.fromtimestamp(sums.second, UTC),
            attempts=sums.attempts,
            failed=sums.failed,
            tokens=sums.tokens,
            burned_attempts=sums.burned_attempts,
            burned_tokens=sums.burned_tokens,
            errors=[ErrorCount(error_class=name, attempts=count) for name, count in sums.errors.items()],
            batch_no=batch_no,
        ),
    )
