"""Price books in Postgres, and those that were read in memory: a version never changes."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import orjson
import psycopg
from psycopg.rows import TupleRow

from schemas import topics
from schemas.ledger import PriceBookPublished, PriceBookPublishedData
from services.settlement.entries import Outbox
from services.settlement.errors import UnavailableError
from services.settlement.pricebook import BookDocument, PriceBook, book_from
from services.settlement.statements import statement, statements

Connect = Callable[[], AbstractContextManager[psycopg.Connection[TupleRow]]]


class BookStore:
    """The price books. Blocking: the event loop calls it in a thread. Safe to share between threads."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._by_version: dict[int, PriceBook] = {}
        self._in_force: PriceBook | None = None

    @property
    def known(self) -> bool:
        """Whether any book is in force."""
        return self._in_force is not None

    @property
    def in_force(self) -> PriceBook:
        """The newest book known here. Raises UnavailableError while none is published."""
        if self._in_force is None:
            raise UnavailableError("no price book is published yet", code="no_price")
        return self._in_force

    def refresh(self) -> None:
        """Read the newest book, if there is one."""
        with self._connect() as connection:
            row = connection.execute(statement("price_book_in_force")).fetchone()
        if row is not None:
            self._add(*row)

    def version(self, version: int) -> PriceBook | None:
        """A version, from memory or from the database. None for one that was never published."""
        known = self._by_version.get(version)
        if known is not None:
            return known
        with self._connect() as connection:
            row = connection.execute(statement("price_book_version"), {"version": version}).fetchone()
        return None if row is None else self._add(*row)

    def publish(self, document: BookDocument) -> tuple[PriceBook, bool]:
        """Put a book in force. Returns it and whether it is new: the content that is in force keeps its version."""
        with self._connect() as connection, connection.transaction():
            before, book = self.publish_within(connection, document)
        return self._add(book.version, book.sha256, document.canonical), before != book.version

    def publish_within(self, connection: psycopg.Connection[TupleRow], document: BookDocument) -> tuple[int | None, PriceBook]:
        """The version that was in force, and the book that is when the caller's transaction commits: the same, or the next.

        Nothing is remembered here of a book that may never be: `refresh` reads it when it is there.
        """
        connection.execute(statement("lock_price_books"))
        row = connection.execute(statement("price_book_in_force")).fetchone()
        if row is not None and row[1] == document.sha256:
            return row[0], book_from(row[2], version=row[0], sha256=row[1])
        text = orjson.dumps(document.canonical, option=orjson.OPT_SORT_KEYS).decode()
        published = connection.execute(
            statement("publish_price_book"), {"sha256": document.sha256, "document": text}
        ).fetchone()
        assert published is not None
        book = document.as_book(published[0])
        _announce(connection, book)
        return None if row is None else row[0], book

    def _add(self, version: int, sha256: str, document: dict[str, Any]) -> PriceBook:
        book = self._by_version.get(version) or book_from(document, version=version, sha256=sha256)
        self._by_version[version] = book
        if self._in_force is None or version > self._in_force.version:
            self._in_force = book
        return book


def _announce(connection: psycopg.Connection[TupleRow], book: PriceBook) -> None:
    data = PriceBookPublishedData(version=book.version, sha256=book.sha256, items=list(book.items))
    event = PriceBookPublished(account_id="operator", data=data)
    outbox = Outbox()
    outbox.add(topics.LEDGER, "operator", event.type, event.event_id, event.to_json().decode())
    connection.execute(statements("settle.sql")["write_outbox"], outbox.parameters())
