"""The record of every change: who, what, before, after. Written in the transaction of the change itself, and never changed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb
from pydantic import BaseModel

from schemas.envelope import new_id
from services.edge.access_guard import Actor
from services.edge.database import Connection, rows_of

LEFT_OUT = frozenset(("version", "updated_at", "updated_by", "effective_policy"))
"""What changes with every change and says nothing of it, or follows from the rest."""
Values = Mapping[str, Any]


async def record(
    connection: Connection,
    by: Actor,
    action: str,
    *,
    entity_id: str,
    account_id: str | None,
    before: Values | None = None,
    after: Values | None = None,
    reason: str | None = None,
    author: str | None = None,
) -> None:
    """Write down one change within its own transaction.

    `action` is `<kind>.<verb>`, such as `key.freeze`. `before` None: it was made; `after` None: it is gone; with both only what
    differs is kept. Give no secrets. `author` is whom a call with the admin token names.
    """
    if before is not None and after is not None:
        before, after = differing(before, after)
    principal = by.principal
    values = {
        "id": new_id(),
        "actor": principal.user_id,
        "actor_name": author if principal.root and author else principal.name,
        "action": action,
        "entity_kind": action.partition(".")[0],
        "entity_id": entity_id,
        "account_id": account_id,
        "before": _kept(before),
        "after": _kept(after),
        "reason": reason,
        "request_id": by.request_id,
        "client_ip": by.client_ip,
    }
    await rows_of(connection, "insert_audit_entry", values)


def differing(before: Values, after: Values) -> tuple[dict[str, Any], dict[str, Any]]:
    """What differs between the two, as each has it."""
    names = [name for name in {**before, **after} if name not in LEFT_OUT and before.get(name) != after.get(name)]
    return {name: before.get(name) for name in names}, {name: after.get(name) for name in names}


def _kept(values: Values | None) -> Jsonb | None:
    if values is None:
        return None
    return Jsonb({name: _plain(value) for name, value in values.items() if name not in LEFT_OUT})


def _plain(value: Any) -> Any:
    """A column's value as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
