"""Decisions to take a channel out of use and back, in Postgres; every instance is told of each."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb

from schemas.control import ControlRecord
from services.router.change_log import Connection, Entry, Who, record
from services.router.freezes import Freeze
from services.router.queries import queries
from services.router.route_store import connect

CHANNEL = "channel"


class FreezeStore:
    """Reads and decides."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    async def load(self) -> list[Freeze]:
        """The latest decision on every channel on which there is one."""
        async with await connect(self._database_url) as connection:
            return await decisions(connection)

    async def decide(self, channel_id: str, who: Who, *, frozen: bool) -> Freeze:
        """Freeze or unfreeze a channel. The same decision for the same reason again changes nothing."""
        async with await connect(self._database_url) as connection:
            await connection.execute(queries("control.sql")["lock_channel"], {"channel_id": channel_id})
            before = await _decision(connection, "freeze_of", {"channel_id": channel_id})
            values = {"channel_id": channel_id, "frozen": frozen, "author": who.author, "reason": who.reason}
            if before is not None and all(getattr(before, name) == value for name, value in values.items()):
                return before
            after = await _decision(connection, "set_freeze", values)
            assert after is not None
            told = Jsonb(announcement(after).model_dump(mode="json"))
            await connection.execute(queries("control.sql")["insert_control"], {"record": told})
            action = "channel.freeze" if frozen else "channel.unfreeze"
            entry = Entry(who, action, CHANNEL, channel_id, None if before is None else shown(before), shown(after))
            await record(connection, entry)
        return after


async def decisions(connection: Connection) -> list[Freeze]:
    """The latest decision on every channel on which there is one."""
    rows = await (await connection.execute(queries("control.sql")["freezes"])).fetchall()
    return [Freeze(**row) for row in rows]


def announcement(decided: Freeze) -> ControlRecord:
    """A decision as the control topic says it."""
    return ControlRecord(
        kind="channel",
        entity_id=decided.channel_id,
        version=decided.version,
        changed_at=decided.changed_at,
        frozen=decided.frozen,
        author=decided.author,
        reason=decided.reason,
    )


def announced(told: ControlRecord) -> Freeze:
    """The decision that a control record says."""
    author = told.author or "unknown"
    return Freeze(told.entity_id, told.frozen, told.version, author, told.reason, told.changed_at)


def shown(decided: Freeze) -> dict[str, Any]:
    """A decision as operators read it."""
    return {**decided._asdict(), "changed_at": decided.changed_at.isoformat()}


async def _decision(connection: Connection, statement: str, values: dict[str, Any]) -> Freeze | None:
    row = await (await connection.execute(queries("control.sql")[statement], values)).fetchone()
    return None if row is None else Freeze(**row)
