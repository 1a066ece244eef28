"""Putting a table in force, whole or with one part changed: checked, stored, logged, announced, and obeyed here at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from services.router.change_log import Connection, Entry, Who, record
from services.router.control_outbox import ControlOutbox
from services.router.entities import Kind, read_table, row_in
from services.router.errors import EntityMissingError, TableMovedError
from services.router.route_files import RouteFiles
from services.router.route_store import RouteStore
from services.router.table import RouteTable
from services.router.tables import Tables

ROUNDS = 5
ANNOUNCE_S = 1.0
"""How long an answer waits until the change is announced; Postgres is looked at every second where it was not."""
Json = dict[str, Any]


class Part(NamedTuple):
    """A change of one entity. `edit` makes the new table of the one in force."""

    kind: Kind
    id: str
    action: str
    edit: Callable[[Json], Json]


class TableWriter:
    """Writes tables."""

    def __init__(self, store: RouteStore, files: RouteFiles, tables: Tables, outbox: ControlOutbox) -> None:
        self._store = store
        self._files = files
        self._tables = tables
        self._outbox = outbox

    async def replace(self, table: RouteTable, who: Who, expected: int | None) -> int:
        """Put a whole table in force. The same content again changes nothing and is announced again.

        Raises :class:`TableRejectedError`, :class:`TableMovedError`.
        """
        for left in reversed(range(ROUNDS)):
            before, found = await self._files.diff(table)
            changes = [each._asdict() for each in found]

            async def log(connection: Connection, version: int, before: int = before, changes: list[Json] = changes) -> None:
                after = {"table_version": version, "changes": changes}
                await record(connection, Entry(who, "routes.put", "routes", "table", {"table_version": before}, after))

            try:
                filled = await self._files.filled(table)
                return await self._in_force(await self._store.save(filled, before if expected is None else expected, log))
            except TableMovedError:
                if expected is not None or not left:
                    raise
        raise AssertionError("the last round returns or raises")

    async def change(self, part: Part, who: Who, expected: int | None) -> int:
        """Put the table in force that a change of one part makes of it. Without `expected` whatever table it is now.

        Raises :class:`TableRejectedError`, :class:`TableMovedError`, :class:`EntityMissingError`.
        """
        for left in reversed(range(ROUNDS)):
            exported = await self._files.export()
            if expected is not None and exported.version != expected:
                raise TableMovedError(
                    f"version {exported.version} is in force, not {expected}: look at the difference once more"
                )
            try:
                return await self._in_force(await self._changed(part, who, exported.version, exported.table))
            except TableMovedError:
                if expected is not None or not left:
                    raise
        raise AssertionError("the last round returns or raises")

    async def announce(self) -> None:
        """Tell the other instances now, if that is possible."""
        await self._outbox.try_flush(ANNOUNCE_S)

    async def _changed(self, part: Part, who: Who, version: int, before: Json) -> int:
        table = await self._files.filled(read_table(part.edit(before)))

        async def log(connection: Connection, stored: int) -> None:
            states = (_state(before, part, version), _state(self._files.shown(table), part, stored))
            await record(connection, Entry(who, part.action, part.kind, part.id, *states))

        return await self._store.save(table, version, log)

    async def _in_force(self, version: int) -> int:
        await self._tables.reload(version)
        await self.announce()
        return version


def _state(table: Json, part: Part, version: int) -> Json | None:
    try:
        return {"table_version": version, **row_in(table, part.kind, part.id)}
    except EntityMissingError:
        return None
