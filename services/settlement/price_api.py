"""`/admin/price-books`: publish, date, compare, export and take back the prices."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Annotated, Any

import psycopg
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from psycopg.rows import TupleRow
from pydantic import BaseModel, ConfigDict

from schemas.price_file import Instant
from services.settlement import price_books
from services.settlement.admin_calls import CHANGING, Repeatable, operation
from services.settlement.admin_models import Page
from services.settlement.audit_log import Change
from services.settlement.book_store import BookStore, Publication
from services.settlement.changes import Made, Reply, change, page_of
from services.settlement.errors import BadInputError
from services.settlement.http_edges import refuse_nul
from services.settlement.money_in import Name, Reason
from services.settlement.price_diff import changes, warnings
from services.settlement.price_file import parse_book
from services.settlement.price_models import PriceBookReply, PriceBookRow, PriceBookWithFile, PriceFileDiff, VersionDiff
from services.settlement.pricebook import BookDocument, PriceBook, exported
from services.settlement.refusals import utc_text

Connection = psycopg.Connection[TupleRow]
Connect = Callable[[], AbstractContextManager[Connection]]
MOST = 2**31 - 1
BOOK_BYTES_MAX = 2 * 1024 * 1024
"""Some fifteen thousand prices."""
READER = ThreadPoolExecutor(1, "price-file")
"""Reads posted files, one at a time; the loop's own threads serve what edge and router ask."""
Version = Annotated[int, Path(ge=1, le=MOST)]
Known = Annotated[int | None, Query(ge=0, le=MOST)]
Named = Annotated[int, Query(ge=1, le=MOST)]
BOOK_BODY = {"application/yaml": {"schema": {"type": "string"}}, "application/json": {"schema": {"type": "object"}}}
"""A price book is read as it is, whatever it calls itself."""


class Withdrawal(BaseModel):
    """Body of a withdrawal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Reason
    author: Name = "admin"


async def _file(
    request: Request,
    effective_from: Annotated[Instant | None, Query(description="From when, in place of what the file says.")] = None,
) -> BookDocument:
    body = await request.body()
    if len(body) > BOOK_BYTES_MAX:
        raise BadInputError(f"a price book has at most {BOOK_BYTES_MAX} bytes", code="invalid_price_book")
    refuse_nul(body)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInputError("a price book is UTF-8 text", code="invalid_price_book") from error
    document = await asyncio.get_running_loop().run_in_executor(READER, parse_book, text)
    return document if effective_from is None else replace(document, effective_from=effective_from)


File = Annotated[BookDocument, Depends(_file)]


def price_router(*, connect: Connect, books: BookStore) -> APIRouter:
    """The routes. Handlers that block run in FastAPI's threads."""
    router = APIRouter(prefix="/admin/price-books")
    _reading_routes(router, connect, books)
    _comparing_routes(router, connect, books)
    _changing_routes(router, connect, books)
    return router


def _reading_routes(router: APIRouter, connect: Connect, books: BookStore) -> None:
    @router.get("", response_model=Page[PriceBookRow], **operation("price.read", "List price books"))
    def list_price_books(after: Known = None, limit: Annotated[int, Query(ge=1, le=500)] = 100) -> Response:
        """The newest version first."""
        with connect() as connection:
            found = price_books.listed(connection, after=after, limit=limit + 1)
        return Reply(page_of(found, limit, lambda row: row["version"]))

    @router.get(
        "/current", response_model=PriceBookWithFile, **operation("price.read", "Export the price book in force", errors=[503])
    )
    def show_current_price_book() -> Response:
        """As a file that can be posted again; 503 `no_price` while none is in force."""
        books.refresh()
        book = books.in_force
        with connect() as connection:
            return Reply({**price_books.described(connection, book.version), "book": exported(book)})


def _comparing_routes(router: APIRouter, connect: Connect, books: BookStore) -> None:
    @router.get("/diff", response_model=VersionDiff, **operation("price.read", "Compare two price books", errors=[404]))
    def compare_price_books(before: Named, after: Named) -> Response:
        """What changes from the one to the other."""
        old, new = _required(books, before), _required(books, after)
        return Reply({**_compared(old, new), "to": new.version})

    @router.post(
        "/diff",
        response_model=PriceFileDiff,
        **operation("price.read", "Compare a price file", errors=[400, 404, 413], body=BOOK_BODY),
    )
    def compare_price_file(document: File, beside: Known = None) -> Response:
        """Beside the version that the file would replace at its `effective_from`, or beside the one that is named."""
        with connect() as connection:
            there = books.standing(connection, document.effective_from).book
            scheduled = _scheduled(books, connection)
        before = there if beside is None else _required(books, beside)
        found = _compared(before, document.as_book(0))
        return Reply({**found, "effective_from": utc_text(document.effective_from), "scheduled": scheduled})

    @router.get("/{version}", response_model=PriceBookWithFile, **operation("price.read", "Export a price book", errors=[404]))
    def show_price_book(version: Version) -> Response:
        """As a file that can be posted again."""
        with connect() as connection:
            found = price_books.described(connection, version)
        return Reply({**found, "book": exported(_required(books, version))})


def _changing_routes(router: APIRouter, connect: Connect, books: BookStore) -> None:
    @router.post(
        "",
        status_code=201,
        response_model=PriceBookReply,
        **operation("price.write", "Publish a price book", errors=CHANGING, again=PriceBookReply, body=BOOK_BODY),
    )
    def publish_price_book(
        document: File, call: Repeatable, expected_version: Known = None, author: Name = "admin"
    ) -> Response:
        """YAML or JSON, at once or at its `effective_from`. Content that is there keeps its version (200).

        With `expected_version`, only in place of that version: else 409 `price_book_moved`.
        """
        publication = Publication(author=call.author(author), expected_version=expected_version)

        def make(connection: Connection) -> Made:
            before, book, new = books.publish_within(connection, document, publication)
            standing = price_books.described(connection, book.version)
            answer = {**standing, "new": new, "warnings": warnings(before, book), "scheduled": _scheduled(books, connection)}
            entry = _entry("prices.publish", standing, publication.author, before)
            return Made(answer=answer, status=201 if new else 200, changes=[entry] if new else [])

        reply = change(connect, call, make)
        books.refresh()
        return reply

    @router.post(
        "/{version}/withdraw",
        response_model=PriceBookRow,
        **operation("price.write", "Withdraw a price book", errors=[404, *CHANGING]),
    )
    def withdraw_price_book(version: Version, asked: Withdrawal, call: Repeatable) -> Response:
        """Takes back one that is not in force yet (409 `price_book_counts` otherwise); again, it changes nothing."""
        author = call.author(asked.author)

        def make(connection: Connection) -> Made:
            found, new = price_books.withdraw(connection, version, reason=asked.reason, author=author)
            entry = _entry("prices.withdraw", found, author, books.version(version), reason=asked.reason)
            return Made(answer=found, changes=[entry] if new else [])

        return change(connect, call, make)


def _entry(action: str, row: dict[str, Any], author: str, before: PriceBook | None, reason: str | None = None) -> Change:
    """A version's entry in the audit log: which one it replaces, and which one it is."""
    return Change(
        action=action,
        entity_kind="price_book",
        entity_id=str(row["version"]),
        before=None if before is None else {"version": before.version, "sha256": before.sha256},
        after={name: row[name] for name in ("version", "sha256", "status", "effective_from")},
        reason=reason,
        author=author,
    )


def _required(books: BookStore, version: int) -> PriceBook:
    book = books.version(version)
    if book is None:
        raise price_books.unknown(version)
    return book


def _compared(before: PriceBook | None, after: PriceBook) -> dict[str, Any]:
    return {
        "version": 0 if before is None else before.version,
        "same": before is not None and before.sha256 == after.sha256,
        "changes": [each._asdict() for each in changes(before, after)],
        "warnings": warnings(before, after),
    }


def _scheduled(books: BookStore, connection: Connection) -> list[dict[str, Any]]:
    following = books.ahead_within(connection)
    return [{"version": each.book.version, "effective_from": utc_text(each.at)} for each in following]
