"""`/admin/attempts` and `/admin/unknown-ends`: the ledger's side of a provider's invoice."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated
from uuid import UUID

import psycopg
from fastapi import APIRouter, Depends, Query, Request, Response
from psycopg.rows import TupleRow
from pydantic import Field

from schemas.envelope import UtcDatetime
from services.settlement import attempt_pages
from services.settlement.admin_api import Reply
from services.settlement.http_edges import Tokens
from services.settlement.money_in import EPOCH

Connect = Callable[[], AbstractContextManager[psycopg.Connection[TupleRow]]]

Instant = Annotated[UtcDatetime, Field(ge=EPOCH)]


def reconcile_router(*, connect: Connect, tokens: Tokens) -> APIRouter:
    """The routes, each behind the admin token."""

    def authorize(request: Request) -> None:
        given = request.headers.get("authorization")
        tokens.check(given.encode() if given else None)

    router = APIRouter(prefix="/admin", dependencies=[Depends(authorize)])

    @router.get("/attempts")
    def get_attempts(
        since: Instant,
        until: Instant,
        channel: Annotated[list[str], Query(default_factory=list)],
        after: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=2000)] = 1000,
    ) -> Response:
        chosen = frozenset(channel)
        with connect() as connection:
            page = attempt_pages.attempts(connection, since=since, until=until, channels=chosen, after=after, limit=limit)
        return Reply(page)

    @router.get("/unknown-ends")
    def get_unknown_ends(since: Instant, until: Instant, limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000) -> Response:
        with connect() as connection:
            ends = attempt_pages.unknown_ends(connection, since=since, until=until, limit=limit)
            exposed = attempt_pages.exposures(connection, since=since, until=until, limit=limit)
        return Reply({"data": ends, "exposures": exposed})

    return router
