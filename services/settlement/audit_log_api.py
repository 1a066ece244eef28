"""`GET /admin/audit-log`: who changed what in the ledger."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated
from uuid import UUID

import psycopg
from fastapi import APIRouter, Query, Response
from psycopg.rows import TupleRow
from pydantic import Field

from schemas.envelope import UtcDatetime
from services.settlement import audit_log
from services.settlement.admin_calls import Calling, operation
from services.settlement.admin_models import AuditEntry, Page
from services.settlement.audit_log import Filter
from services.settlement.changes import Reply, page_of
from services.settlement.money_in import EPOCH, Name

Connect = Callable[[], AbstractContextManager[psycopg.Connection[TupleRow]]]
Instant = Annotated[UtcDatetime, Field(ge=EPOCH)]
Limit = Annotated[int, Query(ge=1, le=500)]


def audit_log_router(connect: Connect) -> APIRouter:
    """The route. Without an account it shows those in which the caller may read the log."""
    router = APIRouter(prefix="/admin")

    @router.get("/audit-log", response_model=Page[AuditEntry], **operation("audit.read", "List changes", about="query"))
    def list_changes(  # noqa: PLR0917 - FastAPI passes them by name
        call: Calling,
        account_id: Name | None = None,
        entity_kind: Name | None = None,
        entity_id: Name | None = None,
        actor: Name | None = None,
        since: Instant | None = None,
        until: Instant | None = None,
        after: UUID | None = None,
        limit: Limit = 100,
    ) -> Response:
        asked = Filter(
            account_id=account_id,
            entity_kind=entity_kind,
            entity_id=entity_id,
            actor=actor,
            since=since,
            until=until,
            after=after,
        )
        with connect() as connection:
            found = audit_log.entries(connection, asked, call.principal.accounts_with("audit.read"), limit=limit + 1)
        return Reply(page_of(found, limit, lambda row: row["id"]))

    return router
