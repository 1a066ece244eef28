"""Builds the books again from the topics and compares them with the ledger as it was at one instant.

The instant is a snapshot of Postgres: what the ledger had consumed by then of the attempts topic is priced anew, and an event
of the ledger's topic counts when the snapshot has its fact. So nothing has to stand still.
"""

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import orjson
import psycopg
from psycopg.rows import TupleRow

from schemas import topics
from schemas.attempts import RequestCompleted
from schemas.envelope import Event
from schemas.ledger import HoldPlaced, PriceBookPublished
from schemas.registry import decode
from services.settlement.audit.fold import AccountFold, Around, Output, refunded_holds, requests_of
from services.settlement.audit.shadow import SHOWN, Shadow, account_events
from services.settlement.audit.topic_reader import Places, TopicReader, missing_offsets
from services.settlement.audit.topic_rows import chunks, completion_rows, ledger_rows
from services.settlement.pricebook import PriceBook, book_from

Connection = psycopg.Connection[TupleRow]
Progress = Callable[[str], None]
RELAY_PATIENCE_S = 120.0
POLL_S = 0.1
TOLD_EVERY_S = 2.0
COMPLETIONS_AT_ONCE = 1000
FINDINGS = {
    "records_gone": "a topic no longer begins at offset 0, or leaves offsets out",
    "unreadable": "a record of the ledger's topic is no event of it",
    "completion_not_posted": "a completion that the ledger read past was neither posted nor set aside",
    "poison_not_set_aside": "a record that can never be used is no dead letter",
    "posting_without_event": "a posting whose event the topic does not have",
    "fact_without_event": "something that the ledger did and its topic does not tell",
    "event_without_fact": "an event of the ledger's topic that the ledger knows nothing of",
    "forged_payload": "one event id with several payloads, and no case of it",
    "price_book": "a price book is not the one that was published",
    "mispriced": "a charge that does not follow from its completion and its price book",
    "undecidable": "a completion that the ledger posted and that contradicts itself",
    "unknown_hold": "an expiry of a hold that is not open",
    "no_completion": "the ledger settled a request that never completed",
    "diverged": "a balance that an event was written upon does not follow from the events before it",
}


class RelayStuckError(Exception):
    """The outbox is not being published: see that the settlement worker runs and Kafka answers, then ask again."""


class Rebuild:
    """One rebuilding. `connection` holds the snapshot, `beside` is never in a transaction for long."""

    def __init__(self, connection: Connection, beside: Connection, reader: TopicReader, progress: Progress) -> None:
        self._connection = connection
        self._shadow = Shadow(connection)
        self._beside = Shadow(beside)
        self._reader = reader
        self._progress = progress
        self._found: dict[str, tuple[int, list[str]]] = defaultdict(lambda: (0, []))
        self._read: dict[str, Places] = {topics.ATTEMPTS: {}, topics.LEDGER: {}}
        self._books: dict[int, PriceBook] = {}
        self._consumed: Places = {}
        self._told_at = 0.0

    async def read(self) -> None:
        """Read the topics and fix the instant.

        What takes long runs in a thread, and the books are built when the consumer is closed: one that is not served for as
        long as a request may take loses its broker.
        """
        for topic in self._read:
            await self._load(topic, await self._reader.ends(topic))
        await asyncio.to_thread(self._shadow.index)
        await self._cut()

    def compare(self) -> dict[str, Any]:
        """Build the books from what was read, and report. The schema is left for whoever wants to look."""
        self._fold()
        return self._report()

    async def _load(self, topic: str, ends: Places) -> None:
        """Take the records from where the last reading ended."""
        following = self._read[topic]
        begins = await self._reader.begins(topic)
        for partition, begin in begins.items():
            if begin > following.get(partition, 0):
                self._add(
                    "records_gone", [f"{topic}/{partition}: offsets {following.get(partition, 0)} to {begin - 1} are gone"]
                )
                following[partition] = begin
        total = sum(ends.values())
        async for records in self._records(topic, following, ends):
            self._add("records_gone", missing_offsets(records, following))
            if topic == topics.ATTEMPTS:
                self._shadow.add_completions(completion_rows(records))
            else:
                rows, unreadable = ledger_rows(records)
                self._shadow.add_ledger_events(rows)
                self._add("unreadable", unreadable)
            self._tell(f"read {sum(following.values())} of {total} records of {topic}")

    def _records(self, topic: str, following: Places, ends: Places) -> AsyncIterator[list[Any]]:
        return self._reader.read(topic, begins=dict(following), ends=ends)

    async def _cut(self) -> None:
        """Fix the instant, and note what the ledger was at it."""
        with self._connection.transaction():
            self._connection.execute("set transaction isolation level repeatable read")
            self._consumed = self._shadow.consumed()
            await self._published(self._shadow.last_outbox())
            await self._load(topics.ATTEMPTS, self._consumed)
            await self._load(topics.LEDGER, await self._reader.ends(topics.LEDGER))
            await asyncio.to_thread(self._take_ledger)
        await asyncio.to_thread(self._ask_later)

    def _take_ledger(self) -> None:
        """What the ledger is in the snapshot, and what only it or only the topics have."""
        self._progress("comparing what the topics and the ledger have")
        self._shadow.take_ledger()
        for kind, name in (
            ("completion_not_posted", "completions_not_posted"),
            ("poison_not_set_aside", "poison_not_set_aside"),
            ("posting_without_event", "postings_without_completion"),
            ("posting_without_event", "postings_without_inbox"),
            ("fact_without_event", "facts_without_event"),
            ("forged_payload", "forged"),
        ):
            self._count(kind, self._shadow.found(name, self._consumed))
        self._books = self._price_books()

    def _ask_later(self) -> None:
        self._count("event_without_fact", self._shadow.found("events_without_fact"))

    async def _published(self, last: int) -> None:
        """Wait until every event that waited at the instant is in the topic."""
        deadline = time.monotonic() + RELAY_PATIENCE_S
        while waiting := self._beside.outbox_waiting(last):
            if time.monotonic() > deadline:
                raise RelayStuckError(f"{waiting} events still wait to be published after {RELAY_PATIENCE_S:.0f} s")
            self._tell(f"waiting for {waiting} events to be published")
            await asyncio.sleep(POLL_S)

    def _price_books(self) -> dict[int, PriceBook]:
        books = {}
        for version, sha256, document in self._shadow.price_books():
            digest = hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()
            if digest != sha256:
                self._add("price_book", [f"price book {version} no longer has its own digest"])
            books[version] = book_from(document, version=version, sha256=sha256)
        return books

    def _fold(self) -> None:
        folded = 0
        fold: AccountFold | None = None
        account = ""
        for rows in self._shadow.story():
            events = [(row.account, row.offset, decode(topics.LEDGER, row.type, row.payload.encode())) for row in rows]
            for holder, of_account in account_events(events):
                if fold is None or holder != account:
                    self._finish(account, fold)
                    fold, account = self._begin(holder), holder
                self._apply(fold, of_account)
            folded += len(rows)
            self._tell(f"priced and folded {folded} events")
        self._finish(account, fold)
        self._beside.name_lines()

    def _begin(self, holder: str) -> AccountFold:
        return AccountFold(
            holder,
            envelopes=self._beside.envelopes(holder),
            cost_centres=self._beside.cost_centres(holder),
            closings=self._beside.run_closings(holder),
            book_of=self._books.get,
        )

    def _apply(self, fold: AccountFold, story: Sequence[tuple[int, Event]]) -> None:
        events = [event for _, event in story]
        refunded = refunded_holds(events)
        completions = self._beside.completions_of(requests_of(events), self._consumed)
        placed = self._beside.holds_placed(refunded)
        around = Around(
            {request: RequestCompleted.model_validate_json(payload) for request, payload in completions.items()},
            {hold: (at, HoldPlaced.model_validate_json(payload)) for hold, (at, payload) in placed.items()},
            self._beside.holds_ended(refunded),
        )
        for position, event in story:
            if isinstance(event, PriceBookPublished):
                self._published_book(event)
            fold.apply(event, around, position)
        self._take(fold.drain())

    def _published_book(self, event: PriceBookPublished) -> None:
        book = self._books.get(event.data.version)
        if book is None or book.sha256 != event.data.sha256 or list(book.items) != event.data.items:
            self._add("price_book", [f"price book {event.data.version} is not the one that was published"])

    def _finish(self, account: str, fold: AccountFold | None) -> None:
        if fold is None:
            return
        for requests in chunks(fold.waiting(), COMPLETIONS_AT_ONCE):
            found = self._beside.completions_of(requests, self._consumed)
            fold.finish([RequestCompleted.model_validate_json(payload) for payload in found.values()])
        self._take(fold.drain())
        self._beside.add_spending(account, fold.spending.windows)
        self._beside.add_buckets(
            (account, bucket, run, pot.currency, pot.state.posted, pot.state.held, pot.state.overrun)
            for (bucket, run), pot in fold.pots.items()
        )

    def _take(self, output: Output) -> None:
        self._beside.add_lines(output.lines)
        for remark in output.remarks:
            self._add(remark.kind, [remark.what])

    def _report(self) -> dict[str, Any]:
        self._count("completion_not_posted", self._beside.found("lines_without_txn"))
        differences = {
            name: self._beside.differences(question)
            for name, question in (
                ("buckets", "compare_buckets"),
                ("windows", "compare_windows"),
                ("postings", "compare_postings"),
            )
        }
        return {
            "counts": {**self._beside.counts(), "repeats": self._beside.duplicates(), "forged": self._beside.flagged()},
            "consumed": {topics.ATTEMPTS: self._consumed, topics.LEDGER: self._read[topics.LEDGER]},
            "differences": {name: {"count": count, "first": rows} for name, (count, rows) in differences.items()},
            "findings": {
                kind: {"rule": FINDINGS[kind], "count": count, "first": first}
                for kind, (count, first) in sorted(self._found.items())
                if count
            },
        }

    def _count(self, kind: str, found: tuple[int, list[str]]) -> None:
        count, first = self._found[kind]
        self._found[kind] = (count + found[0], (first + found[1])[:SHOWN])

    def _add(self, kind: str, what: list[str]) -> None:
        if what:
            self._count(kind, (len(what), what))

    def _tell(self, text: str) -> None:
        """Not more often than somebody reads."""
        if time.monotonic() - self._told_at >= TOLD_EVERY_S:
            self._told_at = time.monotonic()
            self._progress(text)


def violations(report: Mapping[str, Any]) -> int:
    """How many things a report has found: none means that the ledger is what its events say, to the last unit."""
    parts = (*report["differences"].values(), *report["findings"].values())
    return sum(part["count"] for part in parts)
