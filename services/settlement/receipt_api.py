"""Receipts over HTTP: plain, signed, and the keys that signatures are checked with."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import TupleRow

from services.settlement.book_store import BookStore
from services.settlement.errors import NotFoundError
from services.settlement.http_edges import Receive, Scope, read_body, refuse_nul
from services.settlement.receipt_store import read_receipt
from services.settlement.signed_receipt import ReceiptSigner

Answer = tuple[int, bytes]
Connect = Callable[[], AbstractContextManager[psycopg.Connection[TupleRow]]]


class ReceiptApi:
    """Answers `/internal/signing-keys` and `/internal/accounts/{account}/receipts/…`."""

    def __init__(self, connect: Connect, books: BookStore, signer: ReceiptSigner, keys: Sequence[Mapping[str, str]]) -> None:
        self._connect = connect
        self._books = books
        self._signer = signer
        self._keys = orjson.dumps({"object": "list", "data": list(keys)})

    def find(self, scope: Scope, receive: Receive) -> Coroutine[Any, Any, Answer] | None:
        """The answer to the call, None where it is none of these."""
        match (scope["method"], *scope["path"].split("/")):
            case ["GET", "", "internal", "signing-keys"]:
                return self._published()
            case ["GET", "", "internal", "accounts", account, "receipts", request]:
                signed = b"signed=true" in scope["query_string"].split(b"&")
                return self._answer(self._signed if signed else self._plain, account, request)
            case ["POST", "", "internal", "accounts", account, "receipts", request, "signed"]:
                return self._sign(account, request, receive)
        return None

    async def _published(self) -> Answer:
        return 200, self._keys

    async def _answer(self, read: Callable[[str, UUID], bytes], account: str, request: str) -> Answer:
        return 200, await asyncio.to_thread(read, account, _request_id(request))

    def _plain(self, account: str, request_id: UUID) -> bytes:
        with self._connect() as connection:
            return orjson.dumps(read_receipt(connection, self._books, account, request_id))

    def _signed(self, account: str, request_id: UUID) -> bytes:
        with self._connect() as connection:
            return self._signer.signed(connection, account, request_id)

    async def _sign(self, account: str, request: str, receive: Receive) -> Answer:
        request_id = _request_id(request)
        body = await read_body(receive)
        refuse_nul(body)

        def sign() -> bytes:
            with self._connect() as connection:
                return self._signer.refused(connection, account, request_id, body)

        return 200, await asyncio.to_thread(sign)


def _request_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError("a request's id is a UUID", code="receipt_not_found") from None
