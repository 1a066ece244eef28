"""What the ledger knows about one request, read for its receipt."""

from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, dict_row

from services.settlement.arrays import texts
from services.settlement.book_store import BookStore
from services.settlement.errors import NotFoundError
from services.settlement.receipts import receipt
from services.settlement.refund_store import refunds_of
from services.settlement.request_seal import RequestSeal, read_request_seal
from services.settlement.statements import statements


def read_receipt(connection: psycopg.Connection[TupleRow], books: BookStore, holder: str, request_id: UUID) -> dict[str, Any]:
    """The receipt of one of the account's requests. Raises NotFoundError, also for another account's request."""
    return read_receipt_and_seal(connection, books, holder, request_id)[0]


def request_is_known(connection: psycopg.Connection[TupleRow], request_id: UUID) -> bool:
    """Whether the ledger has anything of the request, whoever's it is."""
    return connection.execute(statements("admin.sql")["request_is_known"], {"request_id": request_id}).fetchone() is not None


def read_receipt_and_seal(
    connection: psycopg.Connection[TupleRow], books: BookStore, holder: str, request_id: UUID
) -> tuple[dict[str, Any], RequestSeal]:
    """The receipt, which says whether it is sealed, and its seal. Raises NotFoundError as `read_receipt` does."""
    sql = statements("admin.sql")
    key = {"holder": holder, "request_id": request_id}
    with connection.cursor(row_factory=dict_row) as cursor:
        holds = cursor.execute(sql["request_holds"], key).fetchall()
        settled = cursor.execute(sql["receipt"], key).fetchone()
        cases = cursor.execute(sql["request_cases"], key).fetchall()
    if not holds and settled is None:
        raise NotFoundError(f"no request {request_id} of this account is in the ledger", code="receipt_not_found")
    keys = texts(f"expire:{hold['id']}" for hold in holds if hold["state"] == "EXPIRED")
    moves = connection.execute(sql["expiry_moves"], {"idem_keys": keys}).fetchall() if keys != "{}" else []
    body = receipt(
        account_id=holder,
        request_id=request_id,
        holds=holds,
        settled=settled,
        expiry_moves={row[0]: (row[1], row[2]) for row in moves},
        cases=cases,
        book_of=books.version,
        refunds=refunds_of(connection, holder, request_id),
    )
    settling = settled is None and any(hold["state"] == "HELD" for hold in holds)
    seal = read_request_seal(connection, request_id, [hold["id"] for hold in holds], settling=settling)
    body["seal"] = seal.summary()
    return body, seal
