"""What router and edge ask of the ledger. Plain ASGI: the hold endpoint is on the way of every request."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import TupleRow

from schemas.calls import ClaimBatch, ClaimBatchResult, HoldBatch, HoldRequest, IngressBatch, ProgressBatch
from services.settlement import ingress, metrics
from services.settlement.balance_store import balances
from services.settlement.book_store import BookStore
from services.settlement.claim_store import claim
from services.settlement.coalescer import Coalescer
from services.settlement.errors import NotFoundError
from services.settlement.history_api import HistoryApi
from services.settlement.hold_progress import renew
from services.settlement.http_edges import (
    Receive,
    Scope,
    Send,
    Tokens,
    header,
    read_body,
    refuse_nul,
    send_body,
    send_error,
    send_json,
)
from services.settlement.pricebook import PriceBook
from services.settlement.receipt_api import ReceiptApi
from services.settlement.run_api import RunApi
from services.settlement.statement_documents import Document

Answer = tuple[int, bytes]
Connect = Callable[[], AbstractContextManager[psycopg.Connection[TupleRow]]]


class InternalApi:
    """Dispatches `/internal/*`. Each handler returns a status and a JSON body, or raises ApiError."""

    def __init__(
        self,
        *,
        holds: Coalescer[HoldRequest, dict[str, Any]],
        connect: Connect,
        books: BookStore,
        gate: ingress.IngressGate,
        receipts: ReceiptApi,
        router: Tokens,
        services: Tokens,
    ) -> None:
        self._holds = holds
        self._connect = connect
        self._books = books
        self._gate = gate
        self._receipts = receipts
        self._router = router
        self._services = services
        self._runs = RunApi(connect, books)
        self._history = HistoryApi(connect)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            answer = await self._dispatch(scope, receive)
        except Exception as error:  # noqa: BLE001 - what the table of errors does not know is logged and answered there
            await send_error(send, error)
        else:
            if isinstance(answer, Document):
                await send_body(send, 200, answer.body, answer.headers)
            else:
                await send_json(send, *answer)

    def _dispatch(  # noqa: PLR0911 - one line per endpoint
        self, scope: Scope, receive: Receive
    ) -> Coroutine[Any, Any, Answer | Document]:
        route, token = (scope["method"], scope["path"]), header(scope, b"authorization")
        if route == ("POST", "/internal/holds"):
            self._router.check(token)
            return self._place(receive)
        if route == ("POST", "/internal/holds/progress"):
            self._router.check(token)
            return self._progress(receive)
        if route == ("POST", "/internal/holds/claims"):
            self._router.check(token)
            return self._claim(receive)
        self._services.check(token)
        if route == ("POST", "/internal/ingress"):
            return self._ingress(receive)
        if route == ("GET", "/internal/price-book"):
            return self._price_book()
        if (receipts := self._receipts.find(scope, receive)) is not None:
            return receipts
        match scope["path"].split("/"):
            case ["", "internal", "accounts", account, "balances"] if scope["method"] == "GET":
                return self._balances(account)
            case ["", "internal", "accounts", *_] if (history := self._history.find(scope)) is not None:
                return history
            case ["", "internal", "accounts", *_] if (found := self._runs.find(scope, receive)) is not None:
                return found
        raise NotFoundError(f"there is no {scope['method']} {scope['path']}")

    async def _place(self, receive: Receive) -> Answer:
        self._gate.check()
        body = await read_body(receive)
        refuse_nul(body)
        batch = HoldBatch.model_validate_json(body)
        results = await self._holds.submit(batch.holds)
        for result in results:
            metrics.holds_decided(result)
        return 200, orjson.dumps({"results": results})

    async def _progress(self, receive: Receive) -> Answer:
        batch = ProgressBatch.model_validate_json(await read_body(receive))
        closed = await asyncio.to_thread(self._renew, batch)
        return 200, orjson.dumps({"closed": closed})

    def _renew(self, batch: ProgressBatch) -> list[UUID]:
        with self._connect() as connection:
            return renew(connection, batch)

    async def _claim(self, receive: Receive) -> Answer:
        body = await read_body(receive)
        refuse_nul(body)
        batch = ClaimBatch.model_validate_json(body)
        return 200, await asyncio.to_thread(self._claim_all, batch)

    def _claim_all(self, batch: ClaimBatch) -> bytes:
        with self._connect() as connection:
            return ClaimBatchResult(results=claim(connection, batch.claims)).to_json()

    async def _ingress(self, receive: Receive) -> Answer:
        body = await read_body(receive)
        batch = IngressBatch.model_validate_json(body)
        refuse_nul(body)
        await asyncio.to_thread(self._take, batch)
        return 202, b'{"accepted":true}'

    def _take(self, batch: IngressBatch) -> None:
        with self._connect() as connection:
            ingress.take(connection, batch.events, self._gate)
            ingress.look(connection, self._gate)

    async def _price_book(self) -> Answer:
        return 200, orjson.dumps(await asyncio.to_thread(self._read_price_book))

    def _read_price_book(self) -> dict[str, Any]:
        """What comes by its date is read before what is in force: a book that begins in between is told twice, never not."""
        ahead = self._books.ahead()
        self._books.refresh()
        following = [{"starts_in_ms": starts_in_ms, **_book(book)} for book, _, starts_in_ms in ahead]
        return {**_book(self._books.in_force), "next": following}

    async def _balances(self, account: str) -> Answer:
        return 200, orjson.dumps({"data": await asyncio.to_thread(self._read_balances, account)})

    def _read_balances(self, account: str) -> list[dict[str, Any]]:
        with self._connect() as connection:
            return balances(connection, account)


def _book(book: PriceBook) -> dict[str, Any]:
    buckets = {route_type: bucket.id for route_type, bucket in book.buckets.items()}
    return {"version": book.version, "buckets": buckets, "items": [item.model_dump() for item in book.items]}
