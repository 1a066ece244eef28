"""The log of who changed what in analytics: each entry is written in the transaction of its change."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from fastapi import Request
from psycopg.types.json import Jsonb

from schemas.access import Principal
from schemas.envelope import new_id
from services.analytics.database import Connection, rows_of

ENTRY_SQL = "alerts.sql"


class Who(NamedTuple):
    """Who asks for a change, by which call. `author` is what is told of it beside the change itself."""

    actor: str
    actor_name: str
    author: str
    request_id: str | None = None
    client_ip: str | None = None


class Change(NamedTuple):
    """What was done to what, and how it was and is. `before` None: made; `after` None: gone. No secret is in it."""

    action: str
    entity_kind: str
    entity_id: str
    account_id: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    reason: str | None = None


def who(request: Request, author: str | None = None) -> Who:
    """Who makes a call. Only the admin token may name an author; a user's own name counts otherwise."""
    principal: Principal = request.state.principal
    client = request.client.host if request.client else None
    name = (author or principal.name) if principal.root else principal.name
    told = name if principal.root else principal.author
    return Who(principal.user_id, name, told, getattr(request.state, "request_id", None), client)


async def record(connection: Connection, by: Who, change: Change) -> None:
    """Write an entry, within the transaction of the change."""
    values = change._asdict() | {
        "id": new_id(),
        "actor": by.actor,
        "actor_name": by.actor_name,
        "request_id": by.request_id,
        "client_ip": by.client_ip,
        "before": None if change.before is None else Jsonb(change.before),
        "after": None if change.after is None else Jsonb(change.after),
    }
    await rows_of(connection, ENTRY_SQL, "add_audit_entry", values)
