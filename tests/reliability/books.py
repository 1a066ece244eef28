"""What a ledger comes to, so that two runs can be compared to the last unit."""

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from services.settlement.database import connect
from services.settlement.ledger_check import check
from tests.integration.settlement.ledger import NEVER_S
from tests.reliability.named_sql import named
from tests.reliability.worker_run import TIMEOUT_MS

MONEY = ("balances", "windows", "accounts", "receipts", "holds")


@dataclass(frozen=True, slots=True)
class Books:
    """Balances, windows, postings, receipts and holds, in words that every run shares; what was set aside; what is broken."""

    money: dict[str, list[tuple[Any, ...]]]
    cases: dict[str, int]
    dead_letters: dict[str, int]
    broken: list[str]

    def differences(self, other: "Books") -> list[str]:
        """What the other run came to otherwise, at most a few of each kind."""
        found = []
        for name in MONEY:
            mine, others = set(self.money[name]), set(other.money[name])
            found += [f"{name}: only here {row}" for row in sorted(mine - others, key=str)[:3]]
            found += [f"{name}: only there {row}" for row in sorted(others - mine, key=str)[:3]]
        return found


def read_books(database_url: str) -> Books:
    """The books as they are, with every invariant checked."""
    with connect(database_url, statement_timeout_ms=TIMEOUT_MS, name="books", analytic=True) as connection:
        return Books(
            money={name: _rows(connection, name) for name in MONEY},
            cases=dict(_rows(connection, "cases")),
            dead_letters=dict(_rows(connection, "dead_letters")),
            broken=[str(finding) for finding in check(connection, patience_s=NEVER_S) if not finding.ok],
        )


def _rows(connection: psycopg.Connection[TupleRow], name: str) -> list[tuple[Any, ...]]:
    return connection.execute(named("books.sql")[name]).fetchall()
