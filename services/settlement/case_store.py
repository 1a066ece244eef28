"""Cases in Postgres. Every change is one transaction with its author, and its event where the topic tells of it."""

from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, dict_row

from schemas import topics
from schemas.ledger import CaseClosed, CaseClosedData
from services.settlement.cases import Assignment, Closing, must_close
from services.settlement.entries import Outbox
from services.settlement.errors import ConflictError, NotFoundError
from services.settlement.statements import statements

Connection = psycopg.Connection[TupleRow]


def cases(
    connection: Connection,
    *,
    open_only: bool | None,
    owner: str | None,
    kind: str | None,
    overdue: bool,
    limit: int,
    after: UUID | None = None,
) -> list[dict[str, Any]]:
    """The newest cases (behind `after`), with their age in seconds and whether they are overdue."""
    asked = {"open": open_only, "owner": owner, "kind": kind, "overdue": overdue, "limit": limit, "after": after}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statements("cases.sql")["cases"], asked).fetchall()


def lock(connection: Connection, case_id: UUID) -> None:
    """Let nobody else change the case until the transaction ends. Raises NotFoundError."""
    _locked(connection, case_id)


def read_case(connection: Connection, case_id: UUID) -> dict[str, Any]:
    """A case with everything that was done about it. Raises NotFoundError."""
    sql = statements("cases.sql")
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(sql["case"], {"id": case_id}).fetchone()
        if row is None:
            raise _unknown(case_id)
        return {**row, "changes": cursor.execute(sql["changes"], {"id": case_id}).fetchall()}


def assign(connection: Connection, case_id: UUID, asked: Assignment) -> dict[str, Any]:
    """Give an open case another owner. Raises NotFoundError, ConflictError for a closed one."""
    sql = statements("cases.sql")
    with connection.transaction():
        case = _locked(connection, case_id)
        if case["closed_at"] is not None:
            raise ConflictError(f"the case was closed by {case['closed_by']}: {case['resolution']}", code="case_closed")
        if case["owner"] != asked.owner:
            connection.execute(sql["assign"], {"id": case_id, "owner": asked.owner})
            _record(connection, case_id, "assigned", asked.author, f"from {case['owner']} to {asked.owner}")
    return read_case(connection, case_id)


def close(connection: Connection, case_id: UUID, asked: Closing) -> dict[str, Any]:
    """Close a case. Closing it again in the same words changes nothing. Raises NotFoundError, ConflictError, InvalidError."""
    sql = statements("cases.sql")
    with connection.transaction():
        case = _locked(connection, case_id)
        if must_close(case, asked):
            decided = {"resolution": asked.resolution, "author": asked.author, "decision": asked.decision}
            connection.execute(sql["close"], {"id": case_id, **decided})
            _record(connection, case_id, "closed", asked.author, asked.resolution)
            _announce(connection, case_id, case, asked)
    return read_case(connection, case_id)


def _announce(connection: Connection, case_id: UUID, case: dict[str, Any], asked: Closing) -> None:
    data = CaseClosedData(case_id=case_id, resolution=asked.resolution, author=asked.author, decision=asked.decision)
    event = CaseClosed(account_id=case["holder"], request_id=case["request_id"], data=data)
    outbox = Outbox()
    outbox.add(topics.LEDGER, case["holder"], "CaseClosed", case_id, event.to_json().decode())
    connection.execute(statements("settle.sql")["write_outbox"], outbox.parameters())


def _locked(connection: Connection, case_id: UUID) -> dict[str, Any]:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(statements("cases.sql")["lock_case"], {"id": case_id}).fetchone()
    if row is None:
        raise _unknown(case_id)
    return row


def _record(connection: Connection, case_id: UUID, kind: str, author: str, detail: str) -> None:
    row = {"id": case_id, "kind": kind, "author": author, "detail": detail}
    connection.execute(statements("cases.sql")["add_change"], row)


def _unknown(case_id: UUID) -> NotFoundError:
    return NotFoundError(f"there is no case {case_id}", code="case_not_found")
