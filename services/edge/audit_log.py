"""`GET /admin/audit-log`: what was changed, by whom, from what to what, the newest first."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from schemas.envelope import UtcDatetime
from services.edge.access_rules import AccessRules, readable
from services.edge.admin_models import Page
from services.edge.database import Database

Text = Annotated[str, Field(max_length=128)]


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


class AuditEntry(BaseModel):
    """One change. `before` null: it was made; `after` null: it is gone; with both only what differs is told."""

    object: Literal["audit_entry"] = "audit_entry"
    id: UUID
    at: datetime
    actor: str
    actor_name: str
    action: str
    entity_kind: str
    entity_id: str
    account_id: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str | None
    request_id: UUID
    client_ip: str | None


def audit_routes(database: Database, rules: AccessRules) -> APIRouter:
    """The route of the audit log."""
    routes = APIRouter()

    @routes.get(
        "/audit-log",
        response_model=Page[AuditEntry],
        summary="List what was changed, the newest first",
        **rules.listing("audit.read", "account"),
    )
    async def listed(request: Request, asked: Annotated[AuditQuery, Query()]) -> dict[str, Any]:
        """Who changed what, before and after. `since` counts, `until` does not; `after` is the page before's `next_after`."""
        limit = asked.limit
        values = asked.model_dump() | {"limit": limit + 1, "accounts": readable(request)}
        rows = await database.rows("list_audit_entries", values)
        return {"data": rows[:limit], "next_after": str(rows[limit - 1]["id"]) if len(rows) > limit else None}

    return routes
