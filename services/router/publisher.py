"""The way of an event into the log: Kafka, or settlement's ingress while Kafka is away.

up → away   an entry is unacknowledged for 2 s, or a batch failed: everything unacknowledged goes to the ingress, the producer
            is thrown away
away → up   a new producer has started; it is tried every half second

An event may so reach the log twice, under the same id: every reader absorbs that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic

import structlog
from aiokafka.errors import KafkaError

from schemas.calls import IngressEvent
from schemas.topics import ATTEMPTS
from services.router import metrics
from services.router.coalescer import Coalescer, CoalescerFullError, CoalescerLimits
from services.router.errors import LedgerUnavailableError, LogUnavailableError
from services.router.events import Record
from services.router.kafka_session import Entry, KafkaSession
from services.router.ledger import Ledger, apart, insist

ACK_BOUND_S = 2.0
WATCH_S = 0.25
PROBE_S = 0.5
INGRESS_BOUND_S = 5.0
INGRESS_LIMITS = CoalescerLimits(batch=500, in_flight=2, waiting=50_000)
UNACKNOWLEDGED_MAX = 50_000

log = structlog.get_logger(__name__)


class Publisher:
    """Publishes events of one topic, in bounded memory: beyond it an event counts as lost and its request ends in error."""

    def __init__(self, servers: str, ledger: Ledger, draw: Callable[[], float], topic: str = ATTEMPTS) -> None:
        self._servers = servers
        self._topic = topic
        self._ledger = ledger
        self._draw = draw
        self._session: KafkaSession | None = None
        self._ingress: Coalescer[IngressEvent, LedgerUnavailableError | None] = Coalescer(self._take_in, INGRESS_LIMITS)
        self._failed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._kafka = metrics.EVENTS.labels(way="kafka")
        self._around = metrics.EVENTS.labels(way="ingress")
        self._lost = metrics.EVENTS.labels(way="lost")

    @property
    def session(self) -> KafkaSession | None:
        """The producer in use, None while Kafka is away."""
        return self._session

    async def start(self) -> None:
        """Connect. Raises KafkaError or TimeoutError where the broker does not answer."""
        self._session = await KafkaSession.open(self._servers, self._topic, self._failed.set)
        self._task = asyncio.create_task(self._watch())

    async def stop(self, bound_s: float) -> None:
        """Wait at most `bound_s` seconds for what is under way, then hand the rest to the ingress."""
        if self._session is not None:
            await self._session.flush(bound_s)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if (session := self._session) is not None:
            self._session = None
            await self._flush_around(session.abandon())
            await session.close()

    def put(self, account_id: str, records: Iterable[Record]) -> None:
        """Publish without waiting; the next awaited event of the account carries these along."""
        try:
            self._put([self._entry(account_id, record, self._dropped(record)) for record in records], urgent=False)
        except LogUnavailableError as exc:
            self._lost.inc()
            log.warning("event_lost", account_id=account_id, reason=str(exc))

    async def put_and_wait(self, account_id: str, records: list[Record]) -> None:
        """Publish, and return when the last of the records is safe (and so, in one account's order, are the others).

        Raises :class:`LogUnavailableError` where neither Kafka nor the ingress took it.
        """
        safe: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settled(exc: Exception | None) -> None:
            if not safe.done():
                safe.set_result(None) if exc is None else safe.set_exception(exc)

        entries = [self._entry(account_id, record, self._dropped(record)) for record in records[:-1]]
        entries.append(self._entry(account_id, records[-1], settled))
        self._put(entries, urgent=True)
        await safe

    def _put(self, entries: list[Entry], *, urgent: bool) -> None:
        session = self._session
        if session is None or session.failed:
            self._go_around(entries)
            return
        if session.size >= UNACKNOWLEDGED_MAX:
            raise LogUnavailableError(f"{session.size} events wait for Kafka")
        self._kafka.inc(len(entries))
        session.put(entries, urgent=urgent)

    def _go_around(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            record = entry.record
            event = IngressEvent.model_construct(
                topic=self._topic, key=entry.account_id, type=record.type, event_id=record.event_id, value=record.value.decode()
            )
            try:
                answer = self._ingress.submit(event)
            except CoalescerFullError as exc:
                entry.settled(LogUnavailableError(str(exc)))
            else:
                self._around.inc()
                answer.add_done_callback(_settling(entry.settled))

    async def _take_in(self, events: list[IngressEvent]) -> list[LedgerUnavailableError | None]:
        return await apart(self._insist, events)

    async def _insist(self, events: list[IngressEvent]) -> list[None]:
        await insist(lambda: self._ledger.take_in(events), bound_s=INGRESS_BOUND_S, draw=self._draw)
        return [None] * len(events)

    async def _watch(self) -> None:
        while True:
            try:
                async with asyncio.timeout(WATCH_S):
                    await self._failed.wait()
            except TimeoutError:
                session = self._session
                oldest = None if session is None else session.oldest()
                if oldest is None or monotonic() - oldest < ACK_BOUND_S:
                    continue
            self._failed.clear()
            await self._be_away()

    async def _be_away(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        entries = session.abandon()
        metrics.LOG_AWAY.set(1)
        log.warning("kafka_away", unacknowledged=len(entries))
        self._go_around(entries)
        await session.close()
        while self._session is None:
            try:
                self._session = await KafkaSession.open(self._servers, self._topic, self._failed.set)
            except (KafkaError, TimeoutError, OSError):
                # Said once, by kafka_away above, and by the gauge for as long as it lasts.
                await asyncio.sleep(PROBE_S)
            except Exception:
                log.exception("kafka_probe_failed")
                await asyncio.sleep(PROBE_S)
        self._failed.clear()
        metrics.LOG_AWAY.set(0)
        log.info("kafka_back")

    async def _flush_around(self, entries: list[Entry]) -> None:
        if not entries:
            return
        safe = [asyncio.get_running_loop().create_future() for _ in entries]
        for entry, future in zip(entries, safe, strict=True):
            entry.settled = _both(entry.settled, future)
        self._go_around(entries)
        await asyncio.wait(safe, timeout=INGRESS_BOUND_S + 1)

    def _entry(self, account_id: str, record: Record, settled: Callable[[Exception | None], None]) -> Entry:
        return Entry(account_id, record, monotonic(), settled)

    def _dropped(self, record: Record) -> Callable[[Exception | None], None]:
        def settled(exc: Exception | None) -> None:
            if exc is not None:
                # RequestCompleted repeats everything; what is lost with this one is its own moment.
                self._lost.inc()
                log.error("event_lost", type=record.type, event_id=str(record.event_id), reason=str(exc))

        return settled


def _settling(
    settled: Callable[[Exception | None], None],
) -> Callable[[asyncio.Future[LedgerUnavailableError | None]], None]:
    def done(answer: asyncio.Future[LedgerUnavailableError | None]) -> None:
        if answer.cancelled():
            settled(LogUnavailableError("the process is ending"))
            return
        exc = answer.exception() or answer.result()
        settled(None if exc is None else LogUnavailableError(f"neither Kafka nor the ingress took the event: {exc}"))

    return done


def _both(first: Callable[[Exception | None], None], future: asyncio.Future[None]) -> Callable[[Exception | None], None]:
    def settled(exc: Exception | None) -> None:
        first(exc)
        if not future.done():
            future.set_result(None)

    return settled
