"""Accounts, projects and keys in Postgres, as admin calls change them.

A change that other processes must hear of is written together with its control record.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from schemas.control import ControlRecord
from services.edge.access_guard import Actor
from services.edge.access_rules import missing
from services.edge.admin_models import Because, FreezeBecause, PolicyChange
from services.edge.announcing import Kind, announce
from services.edge.audit import record
from services.edge.database import Connection, Database, Row, rows_of
from services.edge.errors import ForbiddenError
from services.edge.policies import EnvelopePolicy, effective, read_policy

PARENTS: dict[Kind, str] = {"project": "account", "key": "project"}
ID_COLUMNS: dict[Kind, str] = {"account": "account_id", "project": "project_id", "key": "key_id"}


@dataclass(frozen=True, slots=True)
class EntityChange:
    """One statement on one entity: `verb` is its name in the audit log, `what` that among the entity's changes."""

    kind: Kind
    entity_id: str
    statement: str
    verb: str
    why: Because
    what: str


class AdminStore:
    """Creates, reads and changes. Raises :class:`NotFoundError` for an id that does not exist."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, connection: Connection, kind: Kind, values: Mapping[str, Any], by: Actor) -> Row:
        """A new row within the caller's transaction."""
        try:
            await rows_of(connection, f"insert_{kind}", values)
        except psycopg.errors.ForeignKeyViolation:
            parent = PARENTS[kind]
            raise missing(parent, values[f"{parent}_id"]) from None
        await announce(connection, kind, [values["id"]])
        row = await _read(connection, kind, values["id"])
        await record(connection, by, f"{kind}.create", entity_id=values["id"], account_id=row["account_id"], after=row)
        return row

    async def get(self, kind: Kind, entity_id: str) -> Row:
        """One row."""
        row = await self._database.row(f"get_{kind}", {"id": entity_id})
        if row is None:
            raise missing(kind, entity_id)
        return _described(row)

    async def page(
        self, kind: Kind, *, after: str, limit: int, parent: str | None = None, accounts: list[str] | None = None
    ) -> tuple[list[Row], str | None]:
        """Rows in id order after an id, and the id to go on from; of these accounts alone where they are given."""
        asked = {"after": after, "limit": limit + 1, "parent": parent, "accounts": accounts}
        rows = await self._database.rows(f"list_{kind}s", asked)
        shown = [_described(row) for row in rows[:limit]]
        return shown, shown[-1][ID_COLUMNS[kind]] if len(rows) > limit else None

    async def changes(self, kind: Kind, entity_id: str, *, after: int, limit: int) -> tuple[list[Row], str | None]:
        """What was done to it in order, and the version to go on from."""
        await self.get(kind, entity_id)
        asked = {"kind": kind, "id": entity_id, "after": after, "limit": limit + 1}
        rows = await self._database.rows("list_changes", asked)
        return rows[:limit], str(rows[limit - 1]["version"]) if len(rows) > limit else None

    async def freeze(self, kind: Kind, entity_id: str, why: Because, by: Actor, *, frozen: bool) -> tuple[Row, ControlRecord]:
        """Freeze or unfreeze. What the installation freezes, an owner may undo only where it says so."""
        verb, what = ("freeze", "frozen") if frozen else ("unfreeze", "unfrozen")
        change = EntityChange(kind, entity_id, f"freeze_{kind}", verb, why, what)
        lenient = isinstance(why, FreezeBecause) and why.owner_may_unfreeze
        return await self._carry_out(change, by, frozen=frozen, by_operator=by.principal.of_installation and not lenient)

    async def set_policy(self, kind: Kind, entity_id: str, asked: PolicyChange, by: Actor) -> tuple[Row, ControlRecord]:
        """Put a policy in place of the one that there is; None leaves everything to the envelopes around and within."""
        change = EntityChange(kind, entity_id, f"set_policy_of_{kind}", "policy", asked, "policy")
        return await self._carry_out(change, by, policy=stored_policy(asked.policy))

    async def revoke(self, key_id: str, why: Because, by: Actor) -> tuple[Row, ControlRecord]:
        """End a key for good."""
        return await self._carry_out(EntityChange("key", key_id, "revoke_key", "revoke", why, "revoked"), by)

    async def patch(
        self, kind: Kind, entity_id: str, why: Because, by: Actor, changes: Mapping[str, Any]
    ) -> tuple[Row, ControlRecord]:
        """Put other values in place of some columns; the rest stays as it is."""
        async with self._database.transaction() as connection:
            locked = await rows_of(connection, f"lock_{kind}", {"id": entity_id})
            if not locked:
                raise missing(kind, entity_id)
            change = EntityChange(kind, entity_id, f"change_{kind}", "change", why, "changed")
            return await self.change(connection, change, by, {**locked[0], **changes})

    async def change(
        self, connection: Connection, change: EntityChange, by: Actor, values: Mapping[str, Any]
    ) -> tuple[Row, ControlRecord]:
        """Change one entity within the caller's transaction: the row, who did it and why, what the others are told."""
        kind, why = change.kind, change.why
        parameters = {"id": change.entity_id, "author": by.author(why.author), **values}
        before = await _locked(connection, kind, change.entity_id)
        if change.verb == "unfreeze" and before["frozen_by_operator"] and not by.principal.of_installation:
            message = f"An operator froze this {kind}: only an operator can unfreeze it."
            raise ForbiddenError("frozen_by_operator", message)
        await rows_of(connection, change.statement, parameters)
        row = await _read(connection, kind, change.entity_id)
        named = {"kind": kind, "version": row["version"], "what": change.what, "reason": why.reason}
        await rows_of(connection, "insert_change", {"policy": None, **parameters, **named})
        await _written(connection, by, change, before, row)
        # After the change, whose row lock orders the records of one entity.
        (control,) = await announce(connection, kind, [row[ID_COLUMNS[kind]]])
        return row, control

    async def _carry_out(self, change: EntityChange, by: Actor, **values: Any) -> tuple[Row, ControlRecord]:
        async with self._database.transaction() as connection:
            return await self.change(connection, change, by, values)


def stored_policy(policy: EnvelopePolicy | None) -> Jsonb | None:
    """A policy as a statement's parameter: only what it says."""
    return None if policy is None else Jsonb(policy.model_dump(mode="json", exclude_none=True))


async def _read(connection: Connection, kind: Kind, entity_id: str) -> Row:
    return _described((await rows_of(connection, f"get_{kind}", {"id": entity_id}))[0])


def _described(row: Row) -> Row:
    """The row with what its policy comes to under those of the envelopes around it."""
    around = [row.pop(name) for name in ("account_policy", "project_policy") if name in row]
    return row | {"effective_policy": effective(read_policy(value) for value in [*around, row["policy"]])}


async def _locked(connection: Connection, kind: Kind, entity_id: str) -> Row:
    """The entity as it is before a change, which nobody else makes meanwhile."""
    if not await rows_of(connection, f"lock_row_of_{kind}", {"id": entity_id}):
        raise missing(kind, entity_id)
    return await _read(connection, kind, entity_id)


async def _written(connection: Connection, by: Actor, change: EntityChange, before: Row, after: Row) -> None:
    """The change goes into the audit log."""
    kind, why = change.kind, change.why
    told: dict[str, Any] = {"before": before, "after": after, "reason": why.reason, "author": why.author}
    action, entity_id = f"{kind}.{change.verb}", after[ID_COLUMNS[kind]]
    await record(connection, by, action, entity_id=entity_id, account_id=after["account_id"], **told)
