"""Holds in Postgres: one lane is one connection that places batches with `place_holds`."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow, dict_row

from schemas.calls import HoldRequest
from services.settlement import metrics
from services.settlement.arrays import uuids
from services.settlement.book_store import BookStore
from services.settlement.database import connect_async
from services.settlement.errors import StalePriceBookError, UnavailableError
from services.settlement.hold_arrays import HoldArrays
from services.settlement.holds import HoldOrder, StopOf, answer_again, granted, refused
from services.settlement.refusals import utc_text
from services.settlement.run_facts import KnownRuns
from services.settlement.statements import statement

STALE_BOOK = "TB001"
ROUNDS = 4
"""How often a batch is planned anew: once for a new price book, once for ids that were decided before, and a spare of each."""
log = structlog.get_logger(__name__)
Answers = dict[UUID, dict[str, Any]]


class HoldLane:
    """Places one batch at a time. A broken connection is opened again by the next batch."""

    def __init__(
        self, url: str, *, books: BookStore, stop: StopOf, default_output: int, floor_output: int, timeout_ms: int
    ) -> None:
        self._url = url
        self._books = books
        self._stop = stop
        self._default_output = default_output
        self._floor_output = floor_output
        self._timeout_ms = timeout_ms
        self._runs = KnownRuns()
        self._connection: AsyncConnection[TupleRow] | None = None

    async def place(self, requests: list[HoldRequest]) -> list[dict[str, Any]]:
        """Answers in order, each a HoldGranted or HoldRefusal on the wire. Raises UnavailableError."""
        try:
            return await self._place_twice(requests)
        except psycopg.DataError:
            if len(requests) == 1:
                raise
            # One hold that Postgres cannot read must not cost the others their answer.
            return [answer for request in requests for answer in await self.place([request])]
        except psycopg.Error as error:
            await self.close()
            log.warning("holds_failed", error=str(error), holds=len(requests))
            raise UnavailableError(f"the ledger did not answer: {error.sqlstate or type(error).__name__}") from error

    async def _place_twice(self, requests: list[HoldRequest]) -> list[dict[str, Any]]:
        """A connection that broke while it was idle is opened again: asking twice under the same ids is asking once."""
        try:
            return await self._place(requests)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            log.info("holds_again", error=type(error).__name__)
            await self.close()
            return await self._place(requests)

    async def close(self) -> None:
        """Close the connection, whatever its state."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _place(self, requests: list[HoldRequest]) -> list[dict[str, Any]]:
        if self._connection is None or self._connection.closed:
            self._connection = await connect_async(self._url, statement_timeout_ms=self._timeout_ms)
        connection = self._connection
        answers: Answers = {}
        for _ in range(ROUNDS):
            missing = list({request.hold_id: request for request in requests if request.hold_id not in answers}.values())
            if not missing:
                break
            try:
                answers.update(await self._decide(connection, missing))
            except StalePriceBookError:
                await asyncio.to_thread(self._books.refresh)
            except psycopg.errors.UniqueViolation:
                answers.update(await self._decided(connection, missing))
        if any(request.hold_id not in answers for request in requests):
            raise UnavailableError("the price book changes faster than holds can be placed")
        metrics.HOLD_BATCH.observe(len(requests))
        return [answers[request.hold_id] for request in requests]

    async def _decide(self, connection: AsyncConnection[TupleRow], requests: Sequence[HoldRequest]) -> Answers:
        book = self._books.in_force
        named = {request.run_id for request in requests if request.run_id is not None}
        runs = await self._runs.find(connection, named) if named else {}
        orders = [
            HoldOrder(
                request,
                book,
                self._stop(request.account_id, request.key.project_id, request.key.key_id),
                runs.get(request.run_id) if request.run_id is not None else None,
            )
            for request in requests
        ]
        arrays = HoldArrays(orders, version=book.version, default_output=self._default_output, floor_output=self._floor_output)
        try:
            row = await (await connection.execute(statement("place_holds"), arrays.parameters, binary=True)).fetchone()
        except psycopg.Error as error:
            if error.sqlstate == STALE_BOOK:
                raise StalePriceBookError from error
            raise
        assert row is not None
        return {
            order.request.hold_id: _answer(order, arrays, book.version, decision)
            for order, decision in zip(orders, zip(*row, strict=True), strict=True)
        }

    async def _decided(self, connection: AsyncConnection[TupleRow], requests: Sequence[HoldRequest]) -> Answers:
        """The stored answers of those that were decided before: granted and refused alike."""
        asked = {request.hold_id: request for request in requests}
        cursor = connection.cursor(row_factory=dict_row)
        rows = await (await cursor.execute(statement("holds_decided"), {"ids": uuids(asked)})).fetchall()
        answers: Answers = {}
        for row in rows:
            request = asked[row["id"]]
            if row["request_id"] != request.request_id or row["holder"] != request.account_id:
                answers[request.hold_id] = conflict(request)
                continue
            book = await asyncio.to_thread(self._books.version, row["price_version"])
            assert book is not None, "a hold's price book is in the ledger, and price books are never removed"
            answers[request.hold_id] = answer_again(request, row, book)
        return answers


def conflict(request: HoldRequest) -> dict[str, Any]:
    """The answer to a hold id that another request has used."""
    return {
        "status": "refused",
        "hold_id": str(request.hold_id),
        "http_status": 409,
        "code": "hold_id_conflict",
        "message": "this hold id belongs to another request: mint a new one",
    }


def _answer(order: HoldOrder, arrays: HoldArrays, version: int, decision: tuple[Any, ...]) -> dict[str, Any]:
    state, amount, cap, code, envelope, window, needed, left, resets, held, passing = decision
    if state == "HELD":
        row = {
            "bucket": order.bucket,
            "currency": order.currency,
            "amount_nano": amount,
            "price_version": version,
            "output_cap": cap,
        }
        return granted(order.request, order.prices, row)
    _, kind, entity, _ = arrays.envelopes[envelope - 1] if envelope else (None, None, None, None)
    return refused(
        order,
        {
            "code": code,
            "kind": kind,
            "entity": entity,
            "window": window,
            "needed_nano": needed,
            "left_nano": left,
            "resets_at": utc_text(resets if isinstance(resets, datetime) else None),
            "held_nano": held,
            "passing": passing,
        },
    )
