"""`GET /admin/audit-log`: what was changed in analytics, by whom, from what to what, the newest first."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from schemas.envelope import UtcDatetime
from services.analytics.admin_api import json_response
from services.analytics.admin_calls import Caller, operation
from services.analytics.alerts.models import AuditPage
from services.analytics.alerts.views import named
from services.analytics.audit import ENTRY_SQL
from services.analytics.database import Database

Text = Annotated[str, Field(max_length=256)]


class AuditQuery(BaseModel):
    """Which entries."""

    account_id: Text | None = None
    entity_kind: Text | None = None
    entity_id: Text | None = None
    actor: Text | None = None
    since: UtcDatetime | None = None
    until: UtcDatetime | None = None
    after: UUID | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100


def router(database: Database) -> APIRouter:
    """The route of the audit log."""
    routes = APIRouter(prefix="/admin")

    @routes.get(
        "/audit-log",
        response_model=AuditPage,
        **operation("audit.read", "List what was changed, the newest first", about="query"),
    )
    async def list_changes(caller: Caller, asked: Annotated[AuditQuery, Query()]) -> Response:
        """Who changed what, before and after. `since` counts, `until` does not; `after` is the page before's `next_after`."""
        values = asked.model_dump() | {"limit": asked.limit + 1, "accounts": named(caller.accounts_with("audit.read"))}
        rows = await database.rows(ENTRY_SQL, "audit_entries", values)
        following = str(rows[asked.limit - 1]["id"]) if len(rows) > asked.limit else None
        return json_response({"object": "list", "data": rows[: asked.limit], "next_after": following})

    return routes
