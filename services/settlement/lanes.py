"""Settles what was fetched: in one transaction after the other, or, under a backlog, in several lanes at once.

A lane posts over one connection, and takes partitions of its own, so that a partition still has one writer and keeps its order.
While a lane waits for Postgres another decides, and a lane itself has its next batch decided ahead, over a second connection.
What fits into one batch is never divided: a fuller batch costs less per event.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import psycopg
import structlog
from psycopg.rows import TupleRow

from schemas.envelope import now
from services.settlement import metrics
from services.settlement.batch import Batch, Decided
from services.settlement.errors import RacedError
from services.settlement.positions import Positions
from services.settlement.records import Record
from services.settlement.settle_store import Prepared, SettleStore

log = structlog.get_logger(__name__)
SKIPPED_BOUND = 1000
SKIPPED_AGE_S = 0.5
"""Records that need no posting are recorded after so many or so long: expiry waits for it."""
RACES = 5

Connection = psycopg.Connection[TupleRow]


class Lanes:
    """Lanes of one session. The first one's connection is the session's; the others are opened when they are needed first."""

    def __init__(
        self,
        connection: Connection,
        *,
        count: int,
        batch: int,
        connect: Callable[[], Connection],
        store_of: Callable[[Connection], SettleStore],
    ) -> None:
        self._count = count
        self._batch = batch
        self._connect = connect
        self._store_of = store_of
        self._connections: list[Connection] = []
        self._lanes = [self._lane(connection)]

    async def settle(self, positions: Positions, records: Sequence[Record]) -> int:
        """Post the records. Returns how many settling events there were. Raises what the first lane that failed has raised."""
        if self._count == 1 or len(records) <= self._batch:
            return await asyncio.to_thread(self._lanes[0].settle, positions, records)
        shares = shared(records, positions.partitions, self._count)
        while len(self._lanes) < len(shares):
            self._lanes.append(self._lane(await asyncio.to_thread(self._open)))
        # All of them end before anything is raised: nobody may post any more when the session begins again.
        outcomes = await asyncio.gather(
            *(
                asyncio.to_thread(lane.settle, positions.of(share), [each for each in records if each.partition in share])
                for lane, share in zip(self._lanes, shares, strict=False)
            ),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return sum(outcome for outcome in outcomes if isinstance(outcome, int))

    def close(self) -> None:
        """Close the connections that were opened here."""
        for lane in self._lanes:
            lane.close()
        for connection in self._connections:
            with closing(connection):
                continue

    def _lane(self, connection: Connection) -> "Lane":
        return Lane(self._store_of(connection), self._batch, lambda: self._store_of(self._open()))

    def _open(self) -> Connection:
        connection = self._connect()
        self._connections.append(connection)
        return connection


class Lane:
    """Posts batches, one at a time. While it posts one the next one is decided, unless the two speak of one request."""

    def __init__(self, store: SettleStore, batch: int, another: Callable[[], SettleStore]) -> None:
        self._store = store
        self._batch = batch
        self._another = another
        self._ahead: SettleStore | None = None
        self._thread = ThreadPoolExecutor(1)
        self._post_skipped_at = 0.0

    def settle(self, positions: Positions, records: Sequence[Record]) -> int:
        """Post the records, in a thread. Returns how many settling events there were."""
        settled = 0
        batches = self._taken(positions, records)
        batch = next(batches, None)
        ahead: Future[Prepared] | None = None
        while batch is not None:
            following = next(batches, None)
            started = time.perf_counter()
            prepared = ahead.result() if ahead else self._store.prepare(batch)
            ahead = self._prepare_ahead(batch, following)
            try:
                decided = self._post(prepared)
            finally:
                # Whatever has happened: nobody may use the other connection any more when the session ends.
                if ahead:
                    ahead.exception()
            observe(batch, decided, time.perf_counter() - started)
            positions.posted(batch)
            self._post_skipped_at = time.monotonic() + SKIPPED_AGE_S
            settled += batch.size
            batch = following
        return settled

    def close(self) -> None:
        """Nothing is prepared ahead any more."""
        self._thread.shutdown()

    def _taken(self, positions: Positions, records: Sequence[Record]) -> Iterator[Batch]:
        """The batches that must be posted now, each beginning where the one before it ends."""
        for batch in positions.batches(records, self._batch):
            if batch.advances and (batch.size or self._must_post_skipped(positions)):
                positions.take(batch)
                yield batch

    def _must_post_skipped(self, positions: Positions) -> bool:
        return positions.unposted >= SKIPPED_BOUND or time.monotonic() >= self._post_skipped_at

    def _prepare_ahead(self, batch: Batch, following: Batch | None) -> Future[Prepared] | None:
        """Decide what follows while the batch is posted: as the ledger is without it, since it speaks of others."""
        if following is None or not following.size or batch.shares(following):
            return None
        if self._ahead is None:
            self._ahead = self._another()
        return self._thread.submit(self._ahead.prepare, following)

    def _post(self, prepared: Prepared) -> Decided:
        """Post; what somebody else has changed since it was decided is decided anew."""
        races = 0
        while True:
            try:
                self._store.post(prepared)
                return prepared.decided
            except (RacedError, psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected) as error:
                races += 1
                if races > RACES:
                    raise
                log.info("batch_again", reason=type(error).__name__)
            prepared = self._store.prepare(prepared.batch)


def shared(records: Sequence[Record], partitions: Sequence[int], count: int) -> list[frozenset[int]]:
    """The partitions in at most `count` shares of about as many records each; one share where all lie in one partition."""
    sizes = Counter(record.partition for record in records)
    shares: list[set[int]] = [set() for _ in range(min(count, len(sizes)))]
    loads = [0] * len(shares)
    for partition in sorted(partitions, key=lambda each: -sizes[each]):
        lightest = loads.index(min(loads))
        shares[lightest].add(partition)
        loads[lightest] += sizes[partition]
    return [frozenset(share) for share in shares]


def observe(batch: Batch, decided: Decided, seconds: float) -> None:
    """Count one committed batch."""
    metrics.BATCH_SECONDS.observe(seconds)
    metrics.BATCH_EVENTS.observe(batch.size)
    for kind, count in Counter(settlement.kind for _, settlement in decided.settlements).items():
        metrics.settled(kind, count)
    instant = now()
    for incoming, settlement in decided.settlements:
        metrics.EVENT_AGE_SECONDS.observe((instant - incoming.event.occurred_at).total_seconds())
        if settlement.capture and settlement.capture.nano > settlement.capture.hold.amount_nano:
            metrics.OVERRUNS.inc()
    if decided.repeats:
        metrics.SETTLED.labels("repeat").inc(decided.repeats)
    for case in decided.cases:
        metrics.CASES.labels(case.kind).inc()
        log.warning("case_opened", kind=case.kind, case_id=str(case.id), request_id=str(case.request_id))
    for record, error in decided.poison:
        metrics.DEAD_LETTERS.labels(error.reason).inc()
        log.error("dead_letter", partition=record.partition, offset=record.offset, reason=error.reason, detail=error.detail)
