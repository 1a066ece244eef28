"""What operators do to balances beside payments: refunds, adjustments, promotions, chargebacks. Under `/admin`."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import psycopg
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from psycopg.rows import TupleRow

from services.settlement import adjustment_store, chargeback_store, refund_store
from services.settlement.adjustments import Adjustment
from services.settlement.book_store import BookStore
from services.settlement.chargebacks import Chargeback, Reinstatement
from services.settlement.correction_store import CaseTerms
from services.settlement.promotions import Promotion
from services.settlement.refunds import Refund

Connect = Callable[[], AbstractContextManager[psycopg.Connection[TupleRow]]]


def money_routes(router: APIRouter, connect: Connect, books: BookStore, terms: CaseTerms) -> None:
    """Add the routes. Each is idempotent for ever by its key: 201 when it is posted, 200 with the stored answer afterwards."""

    @router.post("/refunds")
    def post_refund(asked: Refund) -> Response:
        with connect() as connection:
            return _posted(refund_store.refund(connection, asked))

    @router.post("/adjustments")
    def post_adjustment(asked: Adjustment) -> Response:
        books.refresh()
        with connect() as connection:
            return _posted(adjustment_store.adjust(connection, asked, books.in_force))

    @router.post("/promotions")
    def post_promotion(asked: Promotion) -> Response:
        books.refresh()
        with connect() as connection:
            return _posted(adjustment_store.grant(connection, asked, books.in_force))

    @router.post("/chargebacks")
    def post_chargeback(asked: Chargeback) -> Response:
        with connect() as connection:
            return _posted(chargeback_store.charge_back(connection, asked, terms))

    @router.post("/reinstatements")
    def post_reinstatement(asked: Reinstatement) -> Response:
        with connect() as connection:
            return _posted(chargeback_store.reinstate(connection, asked))


def _posted(result: tuple[dict[str, Any], bool]) -> Response:
    answer, new = result
    return JSONResponse(answer, status_code=201 if new else 200)
