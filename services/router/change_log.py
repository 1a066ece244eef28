"""Who changes something and why, and the log of changes: each entry is written in the transaction of its change."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from schemas.envelope import new_id
from services.router.queries import queries
from services.router.route_store import connect

Json = dict[str, Any]
Connection = psycopg.AsyncConnection[dict[str, Any]]


class Who(NamedTuple):
    """Who asks for a change, why, and by which call. `author` is what is told of it beside the change itself."""

    actor: str
    actor_name: str
    author: str
    reason: str | None = None
    request_id: str | None = None
    client_ip: str | None = None


class Entry(NamedTuple):
    """One change: what was done to what, and how it was and is. No secret is in it."""

    who: Who
    action: str
    entity_kind: str
    entity_id: str
    before: Json | None
    after: Json | None


class LogQuery(NamedTuple):
    """Which entries are asked for, the newest first, from `after` on."""

    after: UUID | None = None
    limit: int = 100
    entity_kind: str | None = None
    entity_id: str | None = None
    actor: str | None = None
    account_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def record(connection: Connection, entry: Entry) -> None:
    """Write an entry, within the transaction of the change."""
    who = entry.who
    values = {"id": new_id(), "action": entry.action, "entity_kind": entry.entity_kind, "entity_id": entry.entity_id}
    values |= {"actor": who.actor, "actor_name": who.actor_name, "reason": who.reason}
    values |= {"request_id": who.request_id, "client_ip": who.client_ip}
    values |= {"before": _stored(entry.before), "after": _stored(entry.after)}
    await connection.execute(queries("control.sql")["insert_audit"], values)


class ChangeLog:
    """Reads the entries."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    async def page(self, asked: LogQuery) -> tuple[list[Json], UUID | None]:
        """Entries, and the id to go on from."""
        async with await connect(self._database_url) as connection:
            values = asked._asdict() | {"limit": asked.limit + 1}
            rows = await (await connection.execute(queries("control.sql")["list_audit"], values)).fetchall()
        return rows[: asked.limit], rows[asked.limit - 1]["id"] if len(rows) > asked.limit else None


def _stored(document: Json | None) -> Jsonb | None:
    return None if document is None else Jsonb(document)
