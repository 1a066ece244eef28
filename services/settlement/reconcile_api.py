"""`/admin/attempts` and `/admin/unknown-ends`: the ledger's side of a provider's invoice."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated
from uuid import UUID

import psycopg
from fastapi import APIRouter, Query, Response
from psycopg.rows import TupleRow
from pydantic import Field

from schemas.envelope import UtcDatetime
from services.settlement import attempt_pages
from services.settlement.admin_calls import operation
from services.settlement.case_models import AttemptsPage, UnknownEndsPage
from services.settlement.changes import Reply
from services.settlement.money_in import EPOCH

Connect = Callable[[], AbstractContextManager[psycopg.Connection[TupleRow]]]

Instant = Annotated[UtcDatetime, Field(ge=EPOCH)]


def reconcile_router(connect: Connect) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/admin")

    @router.get("/attempts", response_model=AttemptsPage, **operation("ledger.read", "List attempts of settled requests"))
    def list_attempts(
        since: Instant,
        until: Instant,
        channel: Annotated[list[str], Query(default_factory=list)],
        after: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=2000)] = 1000,
    ) -> Response:
        """Those of at most `limit` requests, in the order of their ids."""
        chosen = frozenset(channel)
        with connect() as connection:
            page = attempt_pages.attempts(connection, since=since, until=until, channels=chosen, after=after, limit=limit)
        return Reply(page)

    @router.get("/unknown-ends", response_model=UnknownEndsPage, **operation("ledger.read", "List what has no known end"))
    def list_unknown_ends(
        since: Instant,
        until: Instant,
        after: UUID | None = None,
        exposures_after: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    ) -> Response:
        """Holds of requests that never completed, and attempts whose provider never said what it counted."""
        with connect() as connection:
            ends = attempt_pages.unknown_ends(connection, since=since, until=until, after=after, limit=limit)
            exposed = attempt_pages.exposures(connection, since=since, until=until, after=exposures_after, limit=limit)
        return Reply(ends | {"exposures": exposed["data"], "next_exposures_after": exposed["next_after"]})

    return router
