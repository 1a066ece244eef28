"""What operators do and ask: payments, limits, price books, balances, postings, lag."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Annotated, Any, Protocol

import orjson
import psycopg
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from psycopg.rows import TupleRow

from schemas import topics
from services.settlement import balance_store, limit_store, topup_store
from services.settlement.book_store import BookStore
from services.settlement.correction_store import CaseTerms
from services.settlement.cost_centres import CostCentre, open_cost_centre
from services.settlement.errors import BadInputError
from services.settlement.history_api import history_routes
from services.settlement.http_edges import Tokens, refuse_nul
from services.settlement.money_api import money_routes
from services.settlement.money_in import LimitChange, Name, TopUp
from services.settlement.pricebook import parse_book

Connect = Callable[[], AbstractContextManager[psycopg.Connection[TupleRow]]]


class EndOffsets(Protocol):
    """Asks Kafka where the partitions of a topic end."""

    async def end_offsets(self, topic: str) -> Mapping[int, int] | None:
        """End by partition; None while Kafka does not answer."""
        ...


class Reply(Response):
    """JSON by orjson: UUIDs and instants as everywhere."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The body."""
        return orjson.dumps(content, option=orjson.OPT_UTC_Z)


def admin_router(*, connect: Connect, books: BookStore, ends: EndOffsets, tokens: Tokens, terms: CaseTerms) -> APIRouter:
    """The routes under `/admin`, each behind the admin token. Handlers that block run in FastAPI's threads."""

    def authorize(request: Request) -> None:
        given = request.headers.get("authorization")
        tokens.check(given.encode() if given else None)

    router = APIRouter(prefix="/admin", dependencies=[Depends(authorize)])
    _money_routes(router, connect, books)
    money_routes(router, connect, books, terms)
    history_routes(router, connect)
    _reading_routes(router, connect, ends)
    return router


def _money_routes(router: APIRouter, connect: Connect, books: BookStore) -> None:
    @router.post("/topups")
    def post_topup(asked: TopUp) -> Response:
        books.refresh()
        with connect() as connection:
            answer, new = topup_store.top_up(connection, asked, books.in_force)
        return JSONResponse(answer, status_code=201 if new else 200)

    @router.post("/limits")
    def post_limit(asked: LimitChange) -> Response:
        with connect() as connection:
            return JSONResponse(limit_store.set_limit(connection, asked, author=asked.author))

    @router.post("/cost-centres")
    def post_cost_centre(asked: CostCentre) -> Response:
        books.refresh()
        with connect() as connection:
            return JSONResponse(open_cost_centre(connection, asked, books.in_force, author=asked.author), status_code=201)

    @router.get("/limits")
    def get_limits(account_id: Name) -> Response:
        with connect() as connection:
            return Reply({"data": limit_store.limits(connection, account_id)})

    @router.post("/price-books")
    async def post_price_book(request: Request) -> Response:
        body = await request.body()
        refuse_nul(body)
        try:
            document = parse_book(body.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise BadInputError("a price book is UTF-8 text", code="invalid_price_book") from error
        book, new = await asyncio.to_thread(books.publish, document)
        answer = {"version": book.version, "sha256": book.sha256, "items": len(book.items), "new": new}
        return JSONResponse(answer, status_code=201 if new else 200)


def _reading_routes(router: APIRouter, connect: Connect, ends: EndOffsets) -> None:
    @router.get("/accounts/{account_id}/balances")
    def get_balances(account_id: str) -> Response:
        with connect() as connection:
            return Reply({"data": balance_store.balances(connection, account_id)})

    @router.get("/accounts/{account_id}/postings")
    def get_postings(
        account_id: str,
        bucket: Name,
        after: Annotated[int, Query(ge=0, le=2**62)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        with connect() as connection:
            return Reply(balance_store.postings(connection, account_id, bucket, after=after, limit=limit))

    @router.get("/lag")
    async def get_lag() -> Response:
        def read() -> dict[str, Any]:
            with connect() as connection:
                return balance_store.pending(connection, topics.ATTEMPTS)

        found = await asyncio.to_thread(read)
        end = await ends.end_offsets(topics.ATTEMPTS)
        return Reply({"partitions": partitions(found.pop("offsets"), end), **found})


def partitions(offsets: Mapping[int, int], ends: Mapping[int, int] | None) -> list[dict[str, Any]]:
    """Each partition's next and end; end and lag are None while Kafka does not answer."""
    return [
        {
            "topic": topics.ATTEMPTS,
            "partition": partition,
            "next": offsets.get(partition, 0),
            "end": None if ends is None else ends[partition],
            "lag": None if ends is None else ends[partition] - offsets.get(partition, 0),
        }
        for partition in sorted(offsets if ends is None else ends)
    ]
