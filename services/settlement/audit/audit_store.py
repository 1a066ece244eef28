"""Audits in Postgres: asked for by the API, done by a process of their own, one at a time."""

from typing import Any, Literal
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import TupleRow, dict_row
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from schemas.envelope import new_id
from services.settlement.errors import ConflictError, NotFoundError
from services.settlement.statements import statements

START_GRACE_S = 30.0
"""How long a process may take from being asked for to holding its lock."""
Connection = psycopg.Connection[TupleRow]


class Loaded(BaseModel):
    """What ClickHouse has of a topic: distinct ids, counted when all below `floor` was there and nothing from `ceiling` on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    distinct_event_ids: int = Field(ge=0)
    floor: dict[int, int]
    ceiling: dict[int, int]


class AuditOrder(BaseModel):
    """Body of `POST /admin/ledger/checks`. `quick` leaves out what reads the topics from their beginning (I12, I14)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["check", "rebuild"] = "check"
    quick: StrictBool = False
    loaded: dict[str, Loaded] | None = None


def start(connection: Connection, order: AuditOrder, *, author: str) -> UUID:
    """Note that an audit is asked for. Raises ConflictError while another one runs."""
    sql = statements("audit.sql")
    audit_id = new_id()
    connection.execute(sql["bury_dead_audits"], {"grace_s": START_GRACE_S})
    asked = orjson.dumps(order.model_dump(mode="json")).decode()
    try:
        with connection.transaction():
            connection.execute(sql["start_audit"], {"id": audit_id, "kind": order.kind, "author": author, "asked": asked})
    except psycopg.errors.UniqueViolation as error:
        row = connection.execute(sql["running_audit"]).fetchone()
        running = f": {row[0]}" if row else ""
        raise ConflictError(f"an audit is running, one at a time{running}", code="audit_running") from error
    return audit_id


def read(connection: Connection, audit_id: UUID) -> dict[str, Any]:
    """An audit with its progress and, once it is done, its result. Raises NotFoundError."""
    sql = statements("audit.sql")
    connection.execute(sql["bury_dead_audits"], {"grace_s": START_GRACE_S})
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(sql["audit"], {"id": audit_id}).fetchone()
    if row is None:
        raise NotFoundError(f"there is no audit {audit_id}", code="audit_not_found")
    return row


def newest(connection: Connection, *, limit: int, after: UUID | None = None) -> list[dict[str, Any]]:
    """The newest audits (behind `after`), without their results."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statements("audit.sql")["audits"], {"limit": limit, "after": after}).fetchall()


class AuditLog:
    """The row of one audit, as its process writes it."""

    def __init__(self, connection: Connection, audit_id: UUID) -> None:
        self._connection = connection
        self._id = audit_id
        self._sql = statements("audit.sql")

    def take(self) -> AuditOrder | None:
        """Lock the audit for the life of the connection. None where another process has it or it has ended."""
        row = self._connection.execute(self._sql["lock_audit"], {"id": str(self._id)}).fetchone()
        if row is None or not row[0]:
            return None
        found = read(self._connection, self._id)
        return AuditOrder.model_validate(found["asked"]) if found["state"] == "running" else None

    def progress(self, text: str) -> None:
        """Tell how far the work is."""
        self._connection.execute(self._sql["tell_progress"], {"id": self._id, "progress": text})

    def done(self, result: dict[str, Any]) -> None:
        """The audit has its result."""
        self._end("done", orjson.dumps(result, option=orjson.OPT_NON_STR_KEYS).decode(), None)

    def failed(self, error: str) -> None:
        """The audit could not be done."""
        self._end("failed", None, error)

    def _end(self, state: str, result: str | None, error: str | None) -> None:
        self._connection.execute(self._sql["end_audit"], {"id": self._id, "state": state, "result": result, "error": error})
