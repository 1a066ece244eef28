"""Price books in Postgres, and those that were read: a version never changes, and the database's clock says which counts."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from threading import Lock
from typing import Any, NamedTuple

import orjson
import psycopg
from psycopg.rows import TupleRow

from schemas import topics
from schemas.control import ControlRecord
from schemas.envelope import new_id
from schemas.ledger import PriceBookPublished, PriceBookPublishedData
from services.settlement.entries import Outbox
from services.settlement.errors import ConflictError, InvalidError, UnavailableError
from services.settlement.pricebook import BookDocument, PriceBook, book_from
from services.settlement.refusals import utc_text
from services.settlement.statements import statement, statements

Connection = psycopg.Connection[TupleRow]
Connect = Callable[[], AbstractContextManager[Connection]]
LEAD_S = 1
"""How far ahead a date has to lie, and until when a book can be withdrawn: by then every process sees what was committed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """How a book is published. `expected_version`: the one that it is meant to replace; None replaces whatever is there."""

    author: str = "admin"
    expected_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is, or will be, in force at an instant, as far as is known. `ahead`: the instant lies far enough in the future."""

    book: PriceBook | None
    at: datetime
    ahead: bool


class Following(NamedTuple):
    """A book that comes into force by its date."""

    book: PriceBook
    at: datetime
    starts_in_ms: int


BY_NOBODY = Publication()


class BookStore:
    """The price books. Blocking: the event loop calls it in a thread. Safe to share between threads."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._by_version: dict[int, PriceBook] = {}
        self._in_force: PriceBook | None = None
        self._reads = count(1)
        self._read = 0
        self._taking = Lock()

    @property
    def known(self) -> bool:
        """Whether any book is in force."""
        return self._in_force is not None

    @property
    def in_force(self) -> PriceBook:
        """The book in force as this process last read it; a hold under an older one is refused by the database, and read anew.

        Raises UnavailableError while none is in force.
        """
        if self._in_force is None:
            raise UnavailableError("no price book is published yet", code="no_price")
        return self._in_force

    def refresh(self) -> None:
        """Read the book in force, if there is one. Of several threads that read at once, the one that began last counts."""
        read = next(self._reads)
        with self._connect() as connection:
            row = connection.execute(statement("price_book_in_force")).fetchone()
        book = None if row is None else self._book(*row)
        with self._taking:
            if read > self._read:
                self._read, self._in_force = read, book

    def version(self, version: int) -> PriceBook | None:
        """A version, from memory or from the database. None for one that was never published."""
        known = self._by_version.get(version)
        if known is not None:
            return known
        with self._connect() as connection:
            row = connection.execute(statement("price_book_version"), {"version": version}).fetchone()
        return None if row is None else self._book(*row)

    def standing(self, connection: Connection, at: datetime | None) -> Standing:
        """What is in force at an instant, None for now."""
        row = connection.execute(statements("prices.sql")["book_at"], {"at": at, "lead_s": LEAD_S}).fetchone()
        assert row is not None
        return Standing(book=None if row[0] is None else self._made(*row[:3]), at=row[3], ahead=row[4])

    def publish(self, document: BookDocument, publication: Publication = BY_NOBODY) -> tuple[PriceBook, bool]:
        """Put a book in force, now or at its date. Returns it and whether it is new: content that is there keeps its version.

        Raises InvalidError for a date that has passed, ConflictError where another version than the expected one is there.
        """
        with self._connect() as connection, connection.transaction():
            _, book, new = self.publish_within(connection, document, publication)
        self.refresh()
        return book, new

    def publish_within(
        self, connection: Connection, document: BookDocument, publication: Publication = BY_NOBODY
    ) -> tuple[PriceBook | None, PriceBook, bool]:
        """What the book replaces at its instant, the book, and whether it is new. It is there when the transaction commits.

        Nothing is remembered here of a book that may never be: `refresh` reads it when it is there.
        """
        connection.execute(statements("prices.sql")["lock_price_books"])
        there = self.standing(connection, document.effective_from)
        if there.book is not None and there.book.sha256 == document.sha256:
            return there.book, there.book, False
        _require_expected(there.book, publication.expected_version)
        _require_free(there, document, _beginning_at(connection, document.effective_from))
        return there.book, _insert(connection, document, publication.author), True

    def ahead(self) -> list[Following]:
        """What comes into force by its date, in that order."""
        with self._connect() as connection:
            return self.ahead_within(connection)

    def ahead_within(self, connection: Connection) -> list[Following]:
        """The same, as a transaction sees it."""
        rows = connection.execute(statements("prices.sql")["price_books_ahead"]).fetchall()
        return [Following(self._made(*row[:3]), row[3], row[4]) for row in rows]

    def _made(self, version: int, sha256: str, document: dict[str, Any]) -> PriceBook:
        return self._by_version.get(version) or book_from(document, version=version, sha256=sha256)

    def _book(self, version: int, sha256: str, document: dict[str, Any]) -> PriceBook:
        return self._by_version.setdefault(version, self._made(version, sha256, document))


def _require_expected(there: PriceBook | None, expected: int | None) -> None:
    version = 0 if there is None else there.version
    if expected is not None and expected != version:
        raise ConflictError(
            f"version {version} is what this book would replace, not {expected}: compare the file with it, and post it anew",
            code="price_book_moved",
            param="expected_version",
            facts={"version": version},
        )


def _beginning_at(connection: Connection, at: datetime | None) -> int | None:
    """The version that comes into force at this very instant, however many are scheduled."""
    row = connection.execute(statements("prices.sql")["book_beginning_at"], {"at": at}).fetchone()
    return None if row is None else int(row[0])


def _require_free(there: Standing, document: BookDocument, taken: int | None) -> None:
    if document.effective_from is None:
        return
    if not there.ahead:
        raise InvalidError(
            f"effective_from {utc_text(there.at)} is not {LEAD_S} s ahead: prices never count for what was before them. "
            "Leave it out to put the book in force at once",
            code="effective_from_passed",
            param="effective_from",
        )
    if taken is not None:
        raise ConflictError(
            f"version {taken} comes into force at {utc_text(there.at)} already: withdraw it first, or choose another instant",
            code="effective_from_taken",
            param="effective_from",
            facts={"version": taken},
        )


def _insert(connection: Connection, document: BookDocument, author: str) -> PriceBook:
    text = orjson.dumps(document.canonical, option=orjson.OPT_SORT_KEYS).decode()
    row = {"sha256": document.sha256, "document": text, "effective_from": document.effective_from, "author": author}
    published = connection.execute(statements("prices.sql")["publish_price_book"], row).fetchone()
    assert published is not None
    book = document.as_book(published[0])
    _announce(connection, book, document.effective_from)
    return book


def _announce(connection: Connection, book: PriceBook, effective_from: datetime | None) -> None:
    data = PriceBookPublishedData(
        version=book.version, sha256=book.sha256, items=list(book.items), effective_from=effective_from
    )
    event = PriceBookPublished(account_id="operator", data=data)
    outbox = Outbox()
    outbox.add(topics.LEDGER, "operator", event.type, event.event_id, event.to_json().decode())
    nudge(outbox, book.version)
    connection.execute(statements("settle.sql")["write_outbox"], outbox.parameters())


def nudge(outbox: Outbox, version: int) -> None:
    """Tell every router and edge to read the price books anew; `version` is the newest."""
    control = ControlRecord(kind="price", entity_id="book", version=version)
    outbox.add(topics.CONTROL, control.key, "ControlRecord", new_id(), control.to_json().decode())
