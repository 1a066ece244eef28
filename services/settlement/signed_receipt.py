"""Receipts as files that are signed and can be checked without asking anybody."""

from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import TupleRow

from schemas.envelope import now
from schemas.notes import SigningKey
from schemas.signed_receipts import seal_file
from services.settlement.book_store import BookStore
from services.settlement.errors import ConflictError, InvalidError, UnavailableError
from services.settlement.receipt_store import read_receipt_and_seal, request_is_known
from services.settlement.request_seal import proven

VERSION = 1
MAX_REFUSED_BYTES = 64 << 10


class ReceiptSigner:
    """Signs with the ledger's key. Without one it refuses."""

    def __init__(self, key: SigningKey | None, books: BookStore) -> None:
        self._key = key
        self._books = books

    def signed(self, connection: psycopg.Connection[TupleRow], holder: str, request_id: UUID) -> bytes:
        """The file of a request's receipt. Raises NotFoundError, UnavailableError."""
        key = self._signing_key()
        with connection.transaction():
            connection.execute("set transaction isolation level repeatable read, read only")
            receipt, seal = read_receipt_and_seal(connection, self._books, holder, request_id)
            sealed = proven(connection, seal)
        return _file(receipt, sealed, key)

    def refused(self, connection: psycopg.Connection[TupleRow], holder: str, request_id: UUID, body: bytes) -> bytes:
        """The file of a receipt that edge made, of a request that it refused before settlement heard of it.

        Raises InvalidError for a receipt that says anything else, ConflictError where the ledger knows the request.
        """
        key = self._signing_key()
        receipt = _refusal(body)
        expected = {"object": "receipt", "status": "refused", "request_id": str(request_id), "account_id": holder}
        if {name: receipt.get(name) for name in expected} != expected or receipt.get("charge") or receipt.get("holds"):
            raise InvalidError("only the receipt of a refused request of this account can be signed here")
        if request_is_known(connection, request_id):
            raise ConflictError("the ledger has a receipt of its own for this request: ask for that")
        return _file(receipt, {"status": "none"}, key)

    def _signing_key(self) -> SigningKey:
        if self._key is None:
            raise UnavailableError("receipts are not signed here: set TOLLBOOK_SIGNING_KEY", code="signing_unavailable")
        return self._key


def _refusal(body: bytes) -> dict[str, Any]:
    try:
        receipt = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidError("the body is not JSON") from None
    if not isinstance(receipt, dict) or len(body) > MAX_REFUSED_BYTES:
        raise InvalidError("the body is no receipt")
    return receipt


def _file(receipt: dict[str, Any], seal: dict[str, Any], key: SigningKey) -> bytes:
    document = {"object": "signed_receipt", "version": VERSION, "signed_at": now(), "receipt": receipt, "seal": seal}
    return seal_file(orjson.dumps(document, option=orjson.OPT_UTC_Z), key)
