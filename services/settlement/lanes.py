"""Settles what was fetched: in one transaction after the other, or, under a backlog, in several lanes at once.

A lane is a connection. Each takes partitions of its own, so that a partition still has one writer and keeps its order; while
one lane waits for Postgres another decides. What fits into one batch is never divided: a fuller batch costs less per event.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
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
from services.settlement.settle_store import SettleStore

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
        self._lanes = [Lane(store_of(connection), batch)]
        self._count = count
        self._batch = batch
        self._connect = connect
        self._store_of = store_of
        self._connections: list[Connection] = []

    async def settle(self, positions: Positions, records: Sequence[Record]) -> int:
        """Post the records. Returns how many settling events there were. Raises what the first lane that failed has raised."""
        if self._count == 1 or len(records) <= self._batch:
            return await asyncio.to_thread(self._lanes[0].settle, positions, records)
        shares = shared(records, positions.partitions, self._count)
        if len(self._lanes) < len(shares):
            await asyncio.to_thread(self._open, len(shares))
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
        for connection in self._connections:
            with closing(connection):
                continue

    def _open(self, count: int) -> None:
        while len(self._lanes) < count:
            connection = self._connect()
            self._connections.append(connection)
            self._lanes.append(Lane(self._store_of(connection), self._batch))


class Lane:
    """Posts batches, one at a time."""

    def __init__(self, store: SettleStore, batch: int) -> None:
        self._store = store
        self._batch = batch
        self._post_skipped_at = 0.0

    def settle(self, positions: Positions, records: Sequence[Record]) -> int:
        """Post the records, in a thread. Returns how many settling events there were."""
        settled = 0
        for batch in positions.batches(records, self._batch):
            size = len(batch.incoming) + len(batch.poison)
            if not batch.advances or (size == 0 and not self._must_post_skipped(positions)):
                continue
            started = time.perf_counter()
            observe(batch, self._post(batch), time.perf_counter() - started)
            positions.posted(batch)
            self._post_skipped_at = time.monotonic() + SKIPPED_AGE_S
            settled += size
        return settled

    def _must_post_skipped(self, positions: Positions) -> bool:
        return positions.unposted >= SKIPPED_BOUND or time.monotonic() >= self._post_skipped_at

    def _post(self, batch: Batch) -> Decided:
        for _ in range(RACES):
            try:
                return self._store.settle(batch)
            except (RacedError, psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected) as error:
                log.info("batch_again", reason=type(error).__name__)
        return self._store.settle(batch)


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
    metrics.BATCH_EVENTS.observe(len(batch.incoming) + len(batch.poison))
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
