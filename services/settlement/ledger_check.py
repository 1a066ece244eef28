"""The ledger's invariants, asked of a live database in one snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow, dict_row

from schemas.notes import Keys
from services.settlement.seal_check import Published, check_seal
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
    "I11": "what was sealed is as it was sealed and published, and everything is sealed",
    "I13": "refunds <= charges, chargebacks <= payments, expiries <= promotions",
}
SEAL = "I11"
SHOWN = 3
NEVER_S = 1e9


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SealPromises:
    """What I11 compares the ledger with: checkpoints from beyond the database, and the keys that may have signed them.

    `patience_s` is how long something may wait for its seal. Read the checkpoints before the check begins.
    `all_read`: everything that is kept outside could be read.
    """

    patience_s: float = NEVER_S
    outside: Sequence[Published] = ()
    keys: Keys | None = None
    all_read: bool = True


def check(connection: psycopg.Connection[TupleRow], *, patience_s: float, seal: SealPromises | None = None) -> list[Finding]:
    """Every invariant in one read-only snapshot. A hold may be overdue by `patience_s` before it counts as forgotten.

    Without `seal` the seal is compared with itself alone, and nobody is asked whether anything is sealed at all.
    """
    promises = seal or SealPromises()
    findings = []
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        for name, rule in INVARIANTS.items():
            rows = _seal(connection, promises) if name == SEAL else _rows(connection, name, patience_s)
            findings.append(Finding(name, rule, len(rows), rows[:SHOWN]))
    return findings


def _rows(connection: psycopg.Connection[TupleRow], name: str, patience_s: float) -> list[dict[str, object]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statements("check.sql")[name], {"patience_s": patience_s}).fetchall()


def _seal(connection: psycopg.Connection[TupleRow], promises: SealPromises) -> list[dict[str, object]]:
    return check_seal(connection, patience_s=promises.patience_s, outside=promises.outside, keys=promises.keys)
