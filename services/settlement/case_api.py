"""`/admin/cases` and `/admin/dead-letters`: what the ledger set aside for a person."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated
from uuid import UUID

import psycopg
from fastapi import APIRouter, Depends, Query, Request, Response
from psycopg.rows import TupleRow

from services.settlement import case_store, redriving
from services.settlement.admin_api import Reply
from services.settlement.cases import Assignment, Closing
from services.settlement.http_edges import Tokens
from services.settlement.money_in import Name
from services.settlement.redriving import Place, RedriveOrder, Redriver

Connect = Callable[[], AbstractContextManager[psycopg.Connection[TupleRow]]]
Limit = Annotated[int, Query(ge=1, le=1000)]


def case_router(*, connect: Connect, redriver: Callable[[psycopg.Connection[TupleRow]], Redriver], tokens: Tokens) -> APIRouter:
    """The routes, each behind the admin token. Handlers that block run in FastAPI's threads."""

    def authorize(request: Request) -> None:
        given = request.headers.get("authorization")
        tokens.check(given.encode() if given else None)

    router = APIRouter(prefix="/admin", dependencies=[Depends(authorize)])
    _case_routes(router, connect)
    _letter_routes(router, connect, redriver)
    return router


def _case_routes(router: APIRouter, connect: Connect) -> None:
    @router.get("/cases")
    def get_cases(
        is_open: Annotated[bool | None, Query(alias="open")] = None,
        owner: Name | None = None,
        kind: Name | None = None,
        overdue: bool = False,
        limit: Limit = 100,
    ) -> Response:
        with connect() as connection:
            found = case_store.cases(connection, open_only=is_open, owner=owner, kind=kind, overdue=overdue, limit=limit)
            return Reply({"data": found})

    @router.get("/cases/{case_id}")
    def get_case(case_id: UUID) -> Response:
        with connect() as connection:
            return Reply(case_store.read_case(connection, case_id))

    @router.post("/cases/{case_id}/assign")
    def post_assignment(case_id: UUID, asked: Assignment) -> Response:
        with connect() as connection:
            return Reply(case_store.assign(connection, case_id, asked))

    @router.post("/cases/{case_id}/close")
    def post_closing(case_id: UUID, asked: Closing) -> Response:
        with connect() as connection:
            return Reply(case_store.close(connection, case_id, asked))


def _letter_routes(router: APIRouter, connect: Connect, redriver: Callable[[psycopg.Connection[TupleRow]], Redriver]) -> None:
    @router.get("/dead-letters")
    def get_letters(  # noqa: PLR0917 - FastAPI passes them by name
        waiting: bool | None = None,
        reason: Name | None = None,
        after_topic: str = "",
        after_partition: int = -1,
        after_offset: int = -1,
        limit: Limit = 100,
    ) -> Response:
        after = Place(after_topic, after_partition, after_offset)
        with connect() as connection:
            page, reasons = redriving.letters(connection, waiting=waiting, reason=reason, after=after, limit=limit)
        last = page[-1] if len(page) == limit else None
        return Reply({"data": page, "reasons": reasons, "next": last and [last["topic"], last["partition"], last["offset"]]})

    @router.get("/dead-letters/{topic}/{partition}/{offset}")
    def get_letter(topic: str, partition: int, offset: int) -> Response:
        with connect() as connection:
            return Reply(redriving.letter(connection, Place(topic, partition, offset)))

    @router.post("/dead-letters/redrive")
    def post_redrive(order: RedriveOrder) -> Response:
        with connect() as connection:
            return Reply(redriver(connection).run(order))
