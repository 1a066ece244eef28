"""Accounts, projects and keys in Postgres, as admin calls change them.

A change that other processes must hear of is written together with its control record.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from schemas.control import ControlRecord
from services.edge.admin_models import Because, PolicyChange
from services.edge.announcing import Kind, announce
from services.edge.database import Connection, Database, Row, rows_of
from services.edge.errors import InvalidRequestError, NotFoundError
from services.edge.policies import EnvelopePolicy, effective, read_policy

PARENTS: dict[Kind, str] = {"project": "account", "key": "project"}
ID_COLUMNS: dict[Kind, str] = {"account": "account_id", "project": "project_id", "key": "key_id"}


class AdminStore:
    """Creates, reads and changes. Raises :class:`NotFoundError` for an id that does not exist."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, connection: Connection, kind: Kind, values: Mapping[str, Any]) -> Row:
        """A new row within the caller's transaction. An unknown parent is the request's mistake."""
        try:
            await rows_of(connection, f"insert_{kind}", values)
        except psycopg.errors.ForeignKeyViolation:
            parent = PARENTS[kind]
            raise InvalidRequestError(
                f"{parent}_not_found", f"There is no {parent} {values[f'{parent}_id']!r}.", param=f"{parent}_id"
            ) from None
        await announce(connection, kind, [values["id"]])
        return await _read(connection, kind, values["id"])

    async def get(self, kind: Kind, entity_id: str) -> Row:
        """One row."""
        row = await self._database.row(f"get_{kind}", {"id": entity_id})
        if row is None:
            raise _missing(kind, entity_id)
        return _described(row)

    async def page(self, kind: Kind, *, after: str, limit: int, parent: str | None = None) -> tuple[list[Row], str | None]:
        """Rows in id order after an id, and the id to go on from."""
        rows = await self._database.rows(f"list_{kind}s", {"after": after, "limit": limit + 1, "parent": parent})
        shown = [_described(row) for row in rows[:limit]]
        return shown, shown[-1][ID_COLUMNS[kind]] if len(rows) > limit else None

    async def changes(self, kind: Kind, entity_id: str, *, after: int, limit: int) -> tuple[list[Row], str | None]:
        """What was done to it in order, and the version to go on from."""
        await self.get(kind, entity_id)
        asked = {"kind": kind, "id": entity_id, "after": after, "limit": limit + 1}
        rows = await self._database.rows("list_changes", asked)
        return rows[:limit], str(rows[limit - 1]["version"]) if len(rows) > limit else None

    async def freeze(self, kind: Kind, entity_id: str, why: Because, *, frozen: bool) -> tuple[Row, ControlRecord]:
        """Freeze or unfreeze."""
        return await self._change(f"freeze_{kind}", kind, entity_id, "frozen" if frozen else "unfrozen", why, frozen=frozen)

    async def set_policy(self, kind: Kind, entity_id: str, change: PolicyChange) -> tuple[Row, ControlRecord]:
        """Put a policy in place of the one that there is; None leaves everything to the envelopes around and within."""
        policy = stored_policy(change.policy)
        return await self._change(f"set_policy_of_{kind}", kind, entity_id, "policy", change, policy=policy)

    async def revoke(self, key_id: str, why: Because) -> tuple[Row, ControlRecord]:
        """End a key for good."""
        return await self._change("revoke_key", "key", key_id, "revoked", why)

    async def patch(self, kind: Kind, entity_id: str, why: Because, changes: Mapping[str, Any]) -> tuple[Row, ControlRecord]:
        """Put other values in place of some columns; the rest stays as it is."""
        async with self._database.transaction() as connection:
            locked = await rows_of(connection, f"lock_{kind}", {"id": entity_id})
            if not locked:
                raise _missing(kind, entity_id)
            values = {**locked[0], **changes}
            return await self.change(connection, kind, entity_id, "changed", why, statement=f"change_{kind}", **values)

    async def _change(
        self, statement: str, kind: Kind, entity_id: str, what: str, why: Because, **values: Any
    ) -> tuple[Row, ControlRecord]:
        async with self._database.transaction() as connection:
            return await self.change(connection, kind, entity_id, what, why, statement=statement, **values)

    async def change(
        self, connection: Connection, kind: Kind, entity_id: str, what: str, why: Because, *, statement: str, **values: Any
    ) -> tuple[Row, ControlRecord]:
        """Change one entity within the caller's transaction: the row, who did it and why, what the others are told."""
        parameters = {"id": entity_id, "author": why.author, **values}
        if not await rows_of(connection, statement, parameters):
            raise _missing(kind, entity_id)
        row = await _read(connection, kind, entity_id)
        named = {"kind": kind, "version": row["version"], "what": what, "reason": why.reason}
        await rows_of(connection, "insert_change", {"policy": None} | parameters | named)
        # After the change, whose row lock orders the records of one entity.
        (record,) = await announce(connection, kind, [row[ID_COLUMNS[kind]]])
        return row, record


def stored_policy(policy: EnvelopePolicy | None) -> Jsonb | None:
    """A policy as a statement's parameter: only what it says."""
    return None if policy is None else Jsonb(policy.model_dump(mode="json", exclude_none=True))


async def _read(connection: Connection, kind: Kind, entity_id: str) -> Row:
    return _described((await rows_of(connection, f"get_{kind}", {"id": entity_id}))[0])


def _described(row: Row) -> Row:
    """The row with what its policy comes to under those of the envelopes around it."""
    around = [row.pop(name) for name in ("account_policy", "project_policy") if name in row]
    return row | {"effective_policy": effective(read_policy(value) for value in [*around, row["policy"]])}


def _missing(kind: Kind, entity_id: str) -> NotFoundError:
    return NotFoundError(f"{kind}_not_found", f"There is no {kind} {entity_id!r}.", param=ID_COLUMNS[kind])
