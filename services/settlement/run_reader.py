"""Runs as read from the ledger: for edge's admission, as a list, and with their whole account."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import TupleRow, dict_row

from schemas.money import format_amount
from services.settlement.arrays import texts, uuids
from services.settlement.book_store import BookStore
from services.settlement.errors import NotFoundError
from services.settlement.refusals import utc_text
from services.settlement.run_account import RunAccount, requests_of
from services.settlement.run_words import explain_run
from services.settlement.runs import rules_of
from services.settlement.statements import statements

Connection = psycopg.Connection[TupleRow]
Row = dict[str, Any]


def membership(connection: Connection, holder: str, run_id: str) -> Row:
    """What edge needs to let a request in. Raises NotFoundError."""
    row = _row(connection, holder, run_id)
    budgets = connection.execute(statements("runs.sql")["budgets"], {"run": run_id}).fetchall()
    return {
        "run_id": row["id"],
        "project_id": row["project_id"],
        "key_id": row["key_id"],
        "buckets": [each[0] for each in budgets],
        "rules": rules_of(row["detail"]),
    }


def runs(  # noqa: PLR0917 - the filters of the call, in its order
    connection: Connection, holder: str, key_id: str | None, state: str | None, after: str | None, limit: int
) -> Row:
    """A page of the account's runs, the newest first."""
    asked = {"holder": holder, "key": key_id, "state": state and state.upper(), "after": after, "limit": limit + 1}
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statements("runs.sql")["runs"], asked).fetchall()
    page = rows[:limit]
    budgets = _budgets(connection, holder, [row["id"] for row in page])
    data = [_run(row, budgets.get(row["id"], [])) for row in page]
    return {"data": data, "next_after": page[-1]["id"] if len(rows) > limit else None}


def run(connection: Connection, holder: str, run_id: str) -> Row:
    """A run with its budgets. Raises NotFoundError."""
    return _run(_row(connection, holder, run_id), _budgets(connection, holder, [run_id]).get(run_id, []))


def run_account(connection: Connection, books: BookStore, holder: str, run_id: str, *, after: int, limit: int) -> Row:
    """A run with its totals, its failures, a page of its timeline, and sentences. Raises NotFoundError.

    One snapshot, so that the totals are those of the budgets.
    """
    sql = statements("runs.sql")
    key = {"holder": holder, "run": run_id}
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        connection.execute("set transaction isolation level repeatable read, read only")
        found = run(connection, holder, run_id)
        holds = cursor.execute(sql["run_holds"], key).fetchall()
        requests = uuids(dict.fromkeys(hold["request_id"] for hold in holds))
        receipts = cursor.execute(sql["run_receipts"], {**key, "requests": requests}).fetchall()
        changes = cursor.execute(sql["run_changes"], key).fetchall()
    account = RunAccount(books.version)
    for request in requests_of(holds, receipts):
        account.add(request)
    body = account.as_dict()
    changed = _changes(changes)
    entries = sorted([*changed, *account.timeline], key=lambda entry: datetime.fromisoformat(entry["at"]))
    page = entries[after : after + limit]
    more = after + limit < len(entries)
    found |= body
    found["timeline"] = {"data": page, "next_after": after + limit if more else None}
    found["explanation"] = explain_run(found, body["totals"], body["failures"], changed)
    return found


def _row(connection: Connection, holder: str, run_id: str) -> Row:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(statements("runs.sql")["run"], {"run": run_id, "holder": holder}).fetchone()
    if row is None:
        raise NotFoundError(f"there is no run {run_id}", code="run_not_found", param="run_id")
    return row


def _budgets(connection: Connection, holder: str, run_ids: Sequence[str]) -> dict[str, list[Row]]:
    rows = connection.execute(statements("runs.sql")["run_sums"], {"holder": holder, "runs": texts(run_ids)}).fetchall()
    found: dict[str, list[Row]] = {}
    for run_id, bucket, currency, budget, returned, held, spent, overrun, free in rows:
        # A reserve knows what is left in it (refunds come back to it); a limit leaves what was not used of it.
        left = free if free is not None else budget - held - spent
        amounts = {"budget": budget, "spent": spent, "held": held, "left": left, "returned": returned, "overrun": overrun}
        texts_of = {name: format_amount(nano) for name, nano in amounts.items()}
        nanos = {f"{name}_nano": nano for name, nano in amounts.items()}
        found.setdefault(run_id, []).append({"bucket": bucket, "currency": currency, **texts_of, **nanos})
    return found


def _run(row: Row, budgets: list[Row]) -> Row:
    detail = row["detail"]
    return {
        "object": "run",
        "id": row["id"],
        "state": row["state"].lower(),
        "close_reason": row["close_reason"],
        "label": detail["label"],
        "account_id": row["holder"],
        "project_id": row["project_id"],
        "key_id": row["key_id"],
        "key_name": detail["key_name"],
        "environment": detail["environment"],
        "tags": detail["tags"],
        "reserve": row["reserve"],
        "rules": rules_of(detail),
        "opened_at": utc_text(row["opened_at"]),
        "deadline_at": utc_text(row["deadline_at"]),
        "closing_at": utc_text(row["closing_at"]),
        "closed_at": utc_text(row["closed_at"]),
        "warnings": row["warnings"],
        "budgets": budgets,
    }


def _changes(rows: Sequence[Row]) -> list[Row]:
    """The run's own changes; every instant in the one form that replies have."""
    return [{"at": utc_text(row["at"]), "kind": row["kind"], **_in_utc(row["detail"])} for row in rows]


def _in_utc(detail: Row) -> Row:
    return {**detail, "deadline_at": utc_text(detail["deadline_at"])} if "deadline_at" in detail else detail
