"""The audit log: what was changed, by whom, and what it was before. Written in the transaction of the change, once."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import TupleRow, dict_row
from psycopg.types.json import Jsonb

from schemas.access import ALL, Accounts
from schemas.envelope import new_id
from services.settlement.admin_calls import AdminCall
from services.settlement.statements import statements

Connection = psycopg.Connection[TupleRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that a call changed. `account_id` is None where it concerns the installation; no secrets in either state."""

    action: str
    entity_kind: str
    entity_id: str
    account_id: str | None = None
    before: Any = None
    after: Any = None
    reason: str | None = None
    author: str | None = None
    """Whom the admin token acts for, as the call says; a user acts for nobody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which entries are asked for; None leaves a bound out."""

    account_id: str | None = None
    entity_kind: str | None = None
    entity_id: str | None = None
    actor: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: UUID | None = None


def write(connection: Connection, call: AdminCall, changes: Iterable[Change]) -> None:
    """Write down what a call has changed, within its transaction."""
    for change in changes:
        connection.execute(statements("audit_log.sql")["write_entry"], row(call, change))


def row(call: AdminCall, change: Change) -> dict[str, Any]:
    """The parameters of `write_entry`."""
    return {
        "id": new_id(),
        "actor": call.principal.user_id,
        "actor_name": (change.author if call.principal.root else None) or call.principal.name,
        "action": change.action,
        "entity_kind": change.entity_kind,
        "entity_id": change.entity_id,
        "account_id": change.account_id,
        "before": _document(change.before),
        "after": _document(change.after),
        "reason": change.reason,
        "request_id": call.request_id,
        "client_ip": call.client_ip,
    }


def entries(connection: Connection, asked: Filter, accounts: Accounts, *, limit: int) -> list[dict[str, Any]]:
    """The newest entries of the accounts that the caller may see."""
    bounds = {
        "account_id": asked.account_id,
        "entity_kind": asked.entity_kind,
        "entity_id": asked.entity_id,
        "actor": asked.actor,
        "since": asked.since,
        "until": asked.until,
        "after": asked.after,
        "accounts": None if accounts is ALL else sorted(accounts),
        "limit": limit,
    }
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statements("audit_log.sql")["entries"], bounds).fetchall()


def _document(state: Any) -> Jsonb | None:
    return None if state is None else Jsonb(state, lambda value: orjson.dumps(value, option=orjson.OPT_UTC_Z))
