"""What a batch comes to: read what the ledger knows about its events, then decide each in order."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from schemas import topics
from services.settlement.arrays import bigints, uuids
from services.settlement.batch import Batch, Decided
from services.settlement.errors import PoisonError
from services.settlement.pricebook import PriceBook
from services.settlement.records import Incoming, Record
from services.settlement.settling import HoldRow, decide, forged, repeated
from services.settlement.statements import statements

HOLD_COLUMNS = (
    "id",
    "request_id",
    "holder",
    "project_id",
    "key_id",
    "bucket",
    "currency",
    "account",
    "state",
    "amount_nano",
    "captured_nano",
    "price_version",
    "windows",
    "run",
    "reserved",
)


class BatchDecisions:
    """Decides batches over one connection, outside of any transaction."""

    def __init__(self, connection: psycopg.Connection[TupleRow], book_of: Callable[[int], PriceBook | None]) -> None:
        self._connection = connection
        self._book_of = book_of
        self._sql = statements("settle.sql")

    def decide(self, batch: Batch, *, again: bool = False) -> Decided:
        """Decide the batch. Nothing is written; the transaction checks that what was read is still so.

        `again`: its records are dead letters; what is poison still is told, although it is set aside already.
        """
        decided = Decided(poison=list(batch.poison))
        if not batch.incoming:
            return self._leave_out_what_is_known(decided)
        known, settled, holds = self._read(batch.incoming)
        # Set aside once, read again after its request was settled by another event: it stays what it was.
        second = [each.record for each in batch.incoming if each.event.request_id in settled and each.event_id not in known]
        set_aside = self._dead_letters(second) if second and not again else set()
        for incoming in batch.incoming:
            seen = known.get(incoming.event_id)
            if seen is not None:
                decided.repeats += 1
                if seen != incoming.hash:
                    decided.cases.append(forged(incoming.event, place_of(incoming.record)))
                continue
            if (incoming.record.partition, incoming.record.offset) in set_aside:
                decided.repeats += 1
                continue
            # What is set aside is not known: it comes to the same in one batch and in several.
            if self._decide_one(incoming, settled, holds, decided):
                known[incoming.event_id] = incoming.hash
        return self._leave_out_what_is_known(decided, again=again)

    def _leave_out_what_is_known(self, decided: Decided, *, again: bool = False) -> Decided:
        """Poison that is set aside already, and cases that are open already: rare, so that nothing is asked otherwise."""
        if decided.poison and not again:
            known = self._dead_letters([record for record, _ in decided.poison])
            decided.poison = [each for each in decided.poison if (each[0].partition, each[0].offset) not in known]
        if decided.cases:
            opened = self._known_cases([case.id for case in decided.cases])
            decided.cases = [case for case in decided.cases if case.id not in opened]
        return decided

    def _dead_letters(self, records: Sequence[Record]) -> set[tuple[int, int]]:
        """Which of the records are dead letters already, as (partition, offset)."""
        places = {"topic": topics.ATTEMPTS, "places": bigints([record.offset for record in records])}
        return {(row[0], row[1]) for row in self._run("known_dead_letters", places).fetchall()}

    def _known_cases(self, ids: Sequence[UUID]) -> set[UUID]:
        return {row[0] for row in self._run("known_cases", {"ids": uuids(ids)}).fetchall()}

    def _decide_one(self, incoming: Incoming, settled: set[UUID], holds: dict[UUID, HoldRow], decided: Decided) -> bool:
        """Whether the inbox takes the event; what is poison is set aside."""
        event = incoming.event
        assert event.request_id is not None
        if event.request_id in settled:
            decided.fresh.append(incoming)
            decided.cases.append(repeated(event))
            return True
        try:
            settlement = decide(event, holds, self._book_of)
        except PoisonError as error:
            decided.poison.append((incoming.record, error))
            return False
        settled.add(event.request_id)
        decided.fresh.append(incoming)
        decided.settlements.append((incoming, settlement))
        decided.cases.extend(settlement.cases)
        return True

    def _read(self, incoming: Sequence[Incoming]) -> tuple[dict[UUID, str], set[UUID], dict[UUID, HoldRow]]:
        """What the ledger knows about the batch: inbox digests, settled requests, holds."""
        hold_ids = {hold_id for each in incoming for hold_id in each.event.data.hold_ids}
        hold_ids.update(attempt.hold_id for each in incoming for attempt in each.event.data.attempts)
        with self._connection.pipeline():
            known = self._run("known_events", {"ids": uuids([each.event_id for each in incoming])})
            settled = self._run("settled_requests", {"ids": uuids([each.event.request_id for each in incoming])})
            holds = self._run("holds", {"ids": uuids(hold_ids)})
            return (
                {event_id: bytes(digest).hex() for event_id, digest in known.fetchall()},
                {row[0] for row in settled.fetchall()},
                {row[0]: HoldRow(*row) for row in holds.fetchall()},
            )

    def _run(self, name: str, parameters: dict[str, Any]) -> psycopg.Cursor[TupleRow]:
        return self._connection.execute(self._sql[name], parameters, binary=True)


def place_of(record: Record) -> str:
    """Where a record lies, as one text."""
    return f"{topics.ATTEMPTS}/{record.partition}/{record.offset}"
