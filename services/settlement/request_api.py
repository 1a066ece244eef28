"""`GET /admin/accounts/{account_id}/requests`: what was asked, in short; edge has the receipt of each."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated
from uuid import UUID

import psycopg
from fastapi import APIRouter, Query, Response
from psycopg.rows import TupleRow
from pydantic import Field

from schemas.envelope import UtcDatetime
from services.settlement import request_pages
from services.settlement.admin_calls import operation
from services.settlement.admin_models import Page
from services.settlement.changes import Reply
from services.settlement.money_in import EPOCH, Name
from services.settlement.request_models import RequestRow
from services.settlement.request_pages import Outcome, RequestFilter, State

Connect = Callable[[], AbstractContextManager[psycopg.Connection[TupleRow]]]
Instant = Annotated[UtcDatetime, Field(ge=EPOCH)]


def request_router(connect: Connect) -> APIRouter:
    """The route."""
    router = APIRouter(prefix="/admin")

    @router.get(
        "/accounts/{account_id}/requests",
        response_model=Page[RequestRow],
        **operation("usage.read", "List the requests of an account", about="path"),
    )
    def list_requests(  # noqa: PLR0917 - FastAPI passes them by name
        account_id: str,
        project_id: Name | None = None,
        key_id: Name | None = None,
        run_id: Name | None = None,
        model: Name | None = None,
        state: State | None = None,
        outcome: Outcome | None = None,
        since: Instant | None = None,
        until: Instant | None = None,
        after: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> Response:
        """Newest first, also those that wait for their end, were refused, or never ended. `model` is the requested one.

        A page looks at the next 10,000 holds alone: with filters it may be short or empty and have a `next_after` nevertheless.
        """
        asked = RequestFilter(
            project_id=project_id, key_id=key_id, run_id=run_id, model=model, state=state, outcome=outcome,
            since=since, until=until, after=after,
        )  # fmt: skip
        with connect() as connection:
            return Reply(request_pages.page(connection, account_id, asked, limit=limit))

    return router
