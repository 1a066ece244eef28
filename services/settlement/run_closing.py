"""Closes runs: first no new holds, then, without any open hold, the rest of the reserve goes back."""

from typing import Any

import orjson
import psycopg
from psycopg.rows import TupleRow, dict_row

from schemas import topics
from schemas.envelope import now
from schemas.ledger import RunClosed, RunClosedData, RunReturn
from schemas.requests import KeyRef
from services.settlement import accounts
from services.settlement.arrays import plain, texts
from services.settlement.entries import Outbox
from services.settlement.run_pots import RunPots
from services.settlement.run_store import owned_run
from services.settlement.runs import BudgetLine, Returned, give_back
from services.settlement.statements import statements

Connection = psycopg.Connection[TupleRow]
BY_CLIENT = "closed_by_client"
BY_DEADLINE = "deadline"


def close_run(connection: Connection, holder: str, run_id: str, key: KeyRef) -> None:
    """Take no more holds, and close at once where none is open. Closing again is harmless.

    Raises NotFoundError and ForbiddenError.
    """
    owned_run(connection, holder, run_id, key, lock=False)
    _close(connection, holder, run_id, BY_CLIENT)


def close_due_runs(connection: Connection, *, limit: int) -> int:
    """Close what is past its deadline or waits for its last hold. Returns how many were closed."""
    closed = 0
    for run_id, holder, _ in connection.execute(statements("runs.sql")["runs_to_close"], {"limit": limit}).fetchall():
        closed += _close(connection, holder, run_id, BY_DEADLINE)
    return closed


def _close(connection: Connection, holder: str, run_id: str, reason: str) -> bool:
    """One step, or both. Returns whether the run is closed by it."""
    sql = statements("runs.sql")
    with connection.transaction():
        # What opens and extends runs waits here too, so that the buckets of the run are all of them.
        connection.execute(statements("admin.sql")["lock_holder"], {"holder": holder})
        budgets = [BudgetLine(*row) for row in connection.execute(sql["budgets"], {"run": run_id}).fetchall()]
        pots = RunPots(connection, holder, run_id, [line.bucket for line in budgets])
        with connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(sql["lock_run"], {"run": run_id, "holder": holder}).fetchone()
        assert row is not None, "a run is never removed"
        state = row["state"]
        if state == "OPEN" and reason == BY_DEADLINE and row["deadline_at"] > now():
            return False  # extended meanwhile
        if state == "OPEN":
            connection.execute(sql["begin_closing"], {"run": run_id, "reason": reason})
            _record(connection, run_id, "closing", {"reason": reason})
        if state == "CLOSED" or _open_holds(connection, holder, run_id):
            return False
        _end(connection, pots, row, row["close_reason"] or reason, budgets)
        return True


def _open_holds(connection: Connection, holder: str, run_id: str) -> bool:
    row = connection.execute(statements("runs.sql")["open_holds_of_run"], {"holder": holder, "run": run_id}).fetchone()
    assert row is not None
    return bool(row[0])


def _end(connection: Connection, pots: RunPots, row: dict[str, Any], reason: str, budgets: list[BudgetLine]) -> None:
    run_id, holder = row["id"], row["holder"]
    key = KeyRef(project_id=row["project_id"], key_id=row["key_id"], key_name=row["detail"]["key_name"])
    sql = statements("runs.sql")
    returns = [_return(pots, line) for line in budgets]
    event = RunClosed(
        event_id=pots.txn_id,
        account_id=holder,
        run_id=run_id,
        data=RunClosedData(txn_id=pots.txn_id, run_id=run_id, key=key, reason=reason, buckets=returns),
    )
    outbox = Outbox()
    outbox.add(topics.LEDGER, holder, "RunClosed", pots.txn_id, event.to_json().decode())
    pots.write("run_close", f"run_close:{run_id}", detail={"run_id": run_id}, request_hash=None, outbox=outbox)
    connection.execute(
        sql["set_returned"],
        {
            "run": run_id,
            "buckets": texts([each.bucket for each in returns]),
            "returned": plain([each.returned_nano for each in returns]),
        },
    )
    connection.execute(sql["end_run"], {"run": run_id})
    returned = [{"bucket": each.bucket, "currency": each.currency, "amount_nano": each.returned_nano} for each in returns]
    _record(connection, run_id, "closed", {"reason": reason, "returned": returned})


def _return(pots: RunPots, line: BudgetLine) -> RunReturn:
    reserve, own = pots.reserve(line.bucket), pots.own(line.bucket)
    if reserve is None or own is None:
        return RunReturn(bucket=line.bucket, currency=line.currency)
    back = give_back(reserve, own)
    _post(pots, line, back, reserve.account, own.account)
    return RunReturn(
        bucket=line.bucket,
        currency=line.currency,
        returned_nano=back.returned,
        returned_repaid_nano=back.returned_repaid,
        repaid_nano=back.repaid,
        paid_by_bucket_nano=back.paid_by_bucket,
        owed_by_bucket_nano=back.owed_by_bucket,
        balance=pots.moved(own, line, reserve=False),
        reserve=pots.moved(reserve, line, reserve=True),
    )


def _post(pots: RunPots, line: BudgetLine, back: Returned, reserve: int, own: int) -> None:
    """The lines: a debt of the reserve is paid to the receivable; the rest goes back, and what is owed there is paid of it."""
    receivable = accounts.overrun_receivable(line.currency)
    pots.postings.move(pots.txn_id, reserve, receivable, line.currency, back.repaid)
    pots.postings.move(pots.txn_id, reserve, own, line.currency, back.returned)
    pots.postings.move(pots.txn_id, own, receivable, line.currency, back.returned_repaid)
    pots.postings.move(pots.txn_id, own, receivable, line.currency, back.paid_by_bucket)


def _record(connection: Connection, run_id: str, kind: str, detail: dict[str, Any]) -> None:
    text = orjson.dumps(detail).decode()
    connection.execute(statements("runs.sql")["add_change"], {"run": run_id, "kind": kind, "detail": text})
