"""The ledger's invariants, asked of a live database in one snapshot."""

from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow, dict_row

from services.settlement.statements import statements

INVARIANTS = {
    "I1": "debits = credits per transaction and currency",
    "I2": "each bucket = the fold of its postings",
    "I3": "held = the sum of open holds, per bucket and window",
    "I4": "no bucket is negative",
    "I5": "held + spent - overrun <= the limit in force at the last hold",
    "I6": "at most one end per hold",
    "I7": "captured + released = held",
    "I8": "every hold past its deadline has a capture, a release or a case",
    "I9": "every fact's event is published or waits in the outbox",
    "I10": "offsets are contiguous",
    "I13": "refunds <= charges, chargebacks <= payments, expiries <= promotions",
}
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One invariant: how many rows violate it, and the first of them."""

    name: str
    rule: str
    violations: int
    first: list[dict[str, object]]

    @property
    def ok(self) -> bool:
        """Whether the invariant holds."""
        return self.violations == 0

    def __str__(self) -> str:
        verdict = "ok" if self.ok else f"VIOLATION, {self.violations} row(s), such as {self.first}"
        return f"{self.name:4} {self.rule}: {verdict}"


def check(connection: psycopg.Connection[TupleRow], *, patience_s: float) -> list[Finding]:
    """Every invariant in one read-only snapshot. A hold may be overdue by `patience_s` before it counts as forgotten."""
    findings = []
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        for name, rule in INVARIANTS.items():
            with connection.cursor(row_factory=dict_row) as cursor:
                rows = cursor.execute(statements("check.sql")[name], {"patience_s": patience_s}).fetchall()
            findings.append(Finding(name, rule, len(rows), rows[:SHOWN]))
    return findings
