"""The shadow schema in Postgres: filled from the topics, and asked what differs from the ledger."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, dict_row

from schemas import topics
from schemas.envelope import Event
from services.settlement.arrays import plain, uuids
from services.settlement.audit.fold import Line
from services.settlement.audit.spending import Envelope, Spent, Window
from services.settlement.audit.topic_rows import CompletionRow, LedgerRow
from services.settlement.statements import statements

STORY_CHUNK = 2000
SHOWN = 200
"""Rows of each kind that a report names; all are counted."""
BucketRow = tuple[str, str, str, str, int, int, int]


class Told(NamedTuple):
    """An event of the ledger's topic with its place."""

    account: str
    partition: int
    offset: int
    type: str
    payload: str


class Shadow:
    """The schema over one connection. Only one audit has it at a time."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self._connection = connection
        self._sql = statements("shadow.sql")

    def make(self) -> None:
        """Empty tables; what an earlier audit left is dropped."""
        self._connection.execute(self._sql["become_the_service"])
        for statement in self._sql["make"].split(";"):
            self._connection.execute(statement)

    def add_event_ids(self, rows: Iterable[tuple[str, int, int, UUID]]) -> None:
        """Places and ids of records."""
        self._copy("copy_event_ids", rows)

    def add_completions(self, rows: Iterable[CompletionRow]) -> None:
        """Completions as they lie in the topic, poison among them."""
        self._copy("copy_completions", rows)

    def add_ledger_events(self, rows: Iterable[LedgerRow]) -> None:
        """Events of the ledger's topic."""
        self._copy("copy_ledger_events", rows)

    def add_buckets(self, rows: Iterable[BucketRow]) -> None:
        """Rebuilt buckets."""
        self._copy("copy_buckets", rows)

    def add_spending(self, holder: str, windows: Mapping[Window, Spent]) -> None:
        """Rebuilt windows."""
        rows = (
            (holder, each.kind, each.entity, each.currency, each.window, start, spent.held, spent.spent, spent.overrun)
            for (each, start), spent in windows.items()
        )
        self._copy("copy_spending", rows)

    def add_lines(self, lines: Iterable[Line]) -> None:
        """Lines that transactions must have."""
        rows = ((line.txn, line.idem_key, line.whole, line.request_id, line.account, line.credit) for line in lines)
        self._copy("copy_lines", rows)

    def index(self) -> None:
        """Call once the bulk is in."""
        for statement in self._sql["index"].split(";"):
            self._connection.execute(statement)

    def last_outbox(self) -> int:
        """The newest waiting row of the ledger's events, as this transaction sees it."""
        return int(self._value("last_outbox", {"topic": topics.LEDGER}))

    def outbox_waiting(self, last: int) -> int:
        """How many of the rows up to `last` still wait. Ask over a connection that is in no transaction."""
        return int(self._value("outbox_waiting", {"topic": topics.LEDGER, "last": last}))

    def consumed(self) -> dict[int, int]:
        """How far the ledger has consumed the attempts topic, as this transaction sees it."""
        return dict(self._connection.execute(self._sql["consumed"], {"topic": topics.ATTEMPTS}).fetchall())

    def take_ledger(self) -> None:
        """Note the ledger's balances, windows and dead letters, and which events lie beyond this transaction's snapshot."""
        for name in ("take_buckets", "take_windows", "take_envelopes", "take_dead_letters", "take_beyond"):
            self._connection.execute(self._sql[name], {"topic": topics.ATTEMPTS})

    def found(self, name: str, ends: Mapping[int, int] | None = None) -> tuple[int, list[str]]:
        """How many rows a question finds, and the first of them as sentences."""
        ends = ends or {}
        parameters = {"topic": topics.ATTEMPTS, "partitions": plain(ends), "ends": plain(ends.values())}
        rows = [row[0] for row in self._connection.execute(self._sql[name], parameters)]
        return len(rows), rows[:SHOWN]

    def differences(self, name: str) -> tuple[int, list[dict[str, Any]]]:
        """How many rows differ, and the first of them."""
        with self._connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(self._sql[name]).fetchall()
        return len(rows), rows[:SHOWN]

    def duplicates(self) -> int:
        """Records that repeat an event that came before."""
        return int(self._value("duplicates", {}))

    def flagged(self) -> int:
        """Completions whose id came with several payloads."""
        return int(self._value("flagged", {}))

    def counts(self) -> dict[str, int]:
        """How much was looked at."""
        with self._connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(self._sql["counts"]).fetchone()
        assert row is not None
        return row

    def distinct_ids(self, topic: str, ends: Mapping[int, int]) -> int:
        """Distinct event ids of a topic below some offsets."""
        return int(self._value("distinct_ids", {"topic": topic, "partitions": plain(ends), "ends": plain(ends.values())}))

    def name_lines(self) -> None:
        """Find the transactions of lines that are known by their key."""
        self._connection.execute(self._sql["name_lines"])

    def price_books(self) -> list[tuple[int, str, dict[str, Any]]]:
        """Every price book: version, digest, document."""
        return self._connection.execute(self._sql["price_books"]).fetchall()

    def envelopes(self, holder: str) -> list[Envelope]:
        """The limits of an account."""
        return [Envelope(*row) for row in self._connection.execute(self._sql["envelopes"], {"holder": holder})]

    def cost_centres(self, holder: str) -> list[tuple[str, str]]:
        """The account's buckets, with their currency, that a limit funds."""
        return self._connection.execute(self._sql["cost_centres"], {"holder": holder}).fetchall()

    def run_closings(self, holder: str) -> dict[str, datetime]:
        """When each of the account's runs began to close; no event tells that."""
        return dict(self._connection.execute(self._sql["run_closings"], {"holder": holder}).fetchall())

    def holds_placed(self, holds: Sequence[UUID]) -> dict[UUID, tuple[int, str]]:
        """Where in its account's story each hold was placed, and HoldPlaced as JSON."""
        if not holds:
            return {}
        rows = self._connection.execute(self._sql["holds_placed"], {"holds": uuids(holds)}).fetchall()
        return {hold: (offset, payload) for hold, offset, payload in rows}

    def holds_ended(self, holds: Sequence[UUID]) -> dict[UUID, int]:
        """Where in its account's story each hold ended with a charge."""
        if not holds:
            return {}
        return dict(self._connection.execute(self._sql["holds_ended"], {"holds": uuids(holds)}).fetchall())

    def story(self) -> Iterator[Sequence[Told]]:
        """Every event up to the cut once, account by account in order, in pieces; no transaction stays open in between."""
        after = {"account": "", "partition": -1, "offset": -1}
        while True:
            rows = [Told(*row) for row in self._connection.execute(self._sql["story"], {**after, "limit": STORY_CHUNK})]
            if not rows:
                return
            yield rows
            after = {"account": rows[-1].account, "partition": rows[-1].partition, "offset": rows[-1].offset}

    def completions_of(self, requests: Sequence[UUID], ends: Mapping[int, int]) -> dict[UUID, str]:
        """The completion that settles each of the requests, as JSON."""
        if not requests:
            return {}
        parameters = {"requests": uuids(requests), "partitions": plain(ends), "ends": plain(ends.values())}
        found: dict[UUID, str] = {}
        for request, payload in self._connection.execute(self._sql["completions_of"], parameters):
            found.setdefault(request, payload)
        return found

    def _copy(self, name: str, rows: Iterable[Sequence[Any]]) -> None:
        with self._connection.cursor() as cursor, cursor.copy(self._sql[name]) as copy:
            for row in rows:
                copy.write_row(row)

    def _value(self, name: str, parameters: Mapping[str, Any]) -> Any:
        row = self._connection.execute(self._sql[name], parameters).fetchone()
        assert row is not None
        return row[0]


def account_events(rows: Iterable[tuple[str, int, Event]]) -> Iterator[tuple[str, list[tuple[int, Event]]]]:
    """Neighbours of one account together: (offset, event), which is the order of an account's story."""
    account, events = None, list[tuple[int, Event]]()
    for holder, offset, event in rows:
        if holder != account:
            if account is not None:
                yield account, events
            account, events = holder, []
        events.append((offset, event))
    if account is not None:
        yield account, events
