"""The limits of a run that sets nothing aside: one envelope for each bucket that its budget names."""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from services.settlement.arrays import plain, texts, uuids
from services.settlement.money_in import EPOCH
from services.settlement.runs import BudgetLine
from services.settlement.statements import statements

Connection = psycopg.Connection[TupleRow]


def add_run_limits(connection: Connection, holder: str, run_id: str, lines: Sequence[BudgetLine], *, opening: bool) -> None:
    """Add the amounts to the run's limits. The buckets are locked.

    A limit counts from the run's opening, whenever it is set: what the run has spent and holds in a bucket that it names
    only now is in its window, and the open holds are stamped with it.
    """
    sql, admin = statements("runs.sql"), statements("admin.sql")
    # Buckets, then holds, then windows: the order of everybody who takes more than one of them.
    new = [] if opening else [line for line in lines if _envelope(connection, holder, run_id, line) is None]
    history = [_History(connection, holder, run_id, line) for line in new]
    amounts = {
        "run": run_id,
        "holder": holder,
        "buckets": texts([line.bucket for line in lines]),
        "currencies": texts([line.currency for line in lines]),
        "amounts": plain([line.nano for line in lines]),
    }
    connection.execute(sql["add_run_limits"], amounts)
    for each in history:
        each.write()
    for currency in {line.currency for line in lines}:
        connection.execute(admin["limit_buckets"], {"holder": holder, "currency": currency})


def _envelope(connection: Connection, holder: str, run_id: str, line: BudgetLine) -> int | None:
    key = {"holder": holder, "kind": "run", "entity": f"{run_id}/{line.bucket}", "currency": line.currency, "window": "run"}
    row = connection.execute(statements("admin.sql")["limit_exists"], key).fetchone()
    return None if row is None else int(row[0])


class _History:
    """What the run spent and holds in a bucket before it had a limit there."""

    def __init__(self, connection: Connection, holder: str, run_id: str, line: BudgetLine) -> None:
        sql = statements("runs.sql")
        self._place: tuple[Any, ...] = (connection, holder, run_id, line)
        asked = {"holder": holder, "run": run_id, "bucket": line.bucket}
        held = connection.execute(sql["lock_open_holds_of_run"], asked).fetchall()
        self._hold_ids = [row[0] for row in held]
        self._held_nano = sum(row[1] for row in held)
        row = connection.execute(sql["spent_in_run"], asked).fetchone()
        assert row is not None
        self._spent_nano, self._overrun_nano = row

    def write(self) -> None:
        """Open the new envelope's window with it, where there is any."""
        if not (self._hold_ids or self._spent_nano or self._overrun_nano):
            return
        connection = self._place[0]
        window = {
            "envelope": _envelope(*self._place),
            "start": EPOCH,
            "held": self._held_nano,
            "spent": self._spent_nano,
            "overrun": self._overrun_nano,
        }
        admin = statements("admin.sql")
        row = connection.execute(admin["open_window"], window).fetchone()
        connection.execute(admin["stamp_holds"], {"window": row[0], "ids": uuids(self._hold_ids)})
