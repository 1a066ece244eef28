"""Ten thousand tamperings with a sealed ledger by somebody who owns its database: the check finds every one, and no other.

`python -m tests.reliability.tampering --tamperings 10000`. Each is made by a superuser with the triggers off, checked against
the checkpoints that are kept outside, and rolled back; in between the untouched ledger is checked. Ends with 1 where the check
missed one or found what was not there.
"""

import argparse
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from schemas.envelope import now
from schemas.money import Usage
from services.settlement.database import connect
from services.settlement.seal_check import Published, check_seal
from tests.integration.settlement.ledger import Ledger, running_ledger
from tests.integration.settlement.requests_made import KEY as CLIENT
from tests.integration.settlement.requests_made import attempt_on, completion, hold_for
from tests.integration.settlement.sealing import KEYS, seal_all
from tests.reliability.forgeries import Connection, Forger, NothingChangedError, columns_of
from tests.reliability.ground import ground
from tests.reliability.progress import Progress

TIMEOUT_MS = 120_000
CONTROL_EVERY = 250
REQUESTS = 240
"""Enough that a node of the eighth level is kept."""
WEIGHTS = {"mutate": 60, "delete": 10, "swap": 12, "insert": 8, "truncate": 6, "rewrite": 3, "requeue": 1}


@dataclass(slots=True)
class Report:
    """How many of each kind were made, which were missed, and what was found in the untouched ledger."""

    made: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    controls: int = 0
    false_alarms: list[object] = field(default_factory=list)
    entries: int = 0

    @property
    def wrong(self) -> bool:
        """Whether anything was missed, or found where nothing was."""
        return bool(self.missed or self.false_alarms)

    def __str__(self) -> str:
        kinds: Counter[str] = Counter()
        for name, count in self.made.items():
            kinds[name.split()[0]] += count
        shown = ", ".join(f"{count:,} {name}" for name, count in kinds.most_common())
        targets = len(self.made)
        verdict = f"{len(self.missed)} MISSED: {self.missed[:5]}" if self.missed else "all found"
        alarms = f"{len(self.false_alarms)} FALSE ALARMS" if self.false_alarms else "nothing found"
        return (
            f"{self.made.total():,} tamperings of {targets} sorts ({shown}) with a ledger of {self.entries} entries: "
            f"{verdict}\n"
            f"the untouched ledger, checked {self.controls} times in between: {alarms}"
        )


def prove(database_url: str, tamperings: int, *, progress: Progress, seed: int = 1, requests: int = REQUESTS) -> Report:
    """Fill the empty database's ledger with so many requests, and tamper with it."""
    report = Report()
    with running_ledger(database_url) as ledger:
        outside = fill(ledger, requests)
        report.entries = ledger.count("seal")
        with connect(database_url, statement_timeout_ms=TIMEOUT_MS, analytic=True) as connection:
            _disarm(connection)
            dice = random.Random(seed)
            columns = columns_of(connection)
            while report.made.total() < tamperings:
                if report.made.total() % CONTROL_EVERY == 0:
                    _control(connection, outside, report)
                _tamper(Forger(connection, dice, columns), outside, report)
                progress.at(report.made.total(), f"missed={len(report.missed)}")
            _control(connection, outside, report)
    return report


def fill(ledger: Ledger, requests: int) -> list[Published]:
    """A ledger with every kind of transaction, sealed a part at a time. Returns its checkpoints as they are kept outside."""
    for account in ("a", "b"):
        ledger.top_up(account, "credit", "10")
        ledger.top_up(account, "wallet", "10")
    ledger.limit("a", "key", "key-1", "day", "5")
    run = ledger.open_run("a", CLIENT, {"credit": "1"})
    outside: list[Published] = []
    for number in range(requests):
        _request(ledger, number, run)
        if number % 7 == 0:
            outside = seal_all(ledger, batch=11)
    ledger.close_run("a", run, CLIENT)
    return seal_all(ledger) or outside


def _request(ledger: Ledger, number: int, run: str) -> None:
    """One request of one of the kinds that there are."""
    story = number % 10
    fields: dict[str, Any] = {"deadline_at": now() - timedelta(minutes=9)} if story in {7, 8} else {}
    hold = hold_for("ab"[number % 2], run_id=run if story == 2 else None, **fields)
    ledger.hold(hold)
    cost: dict[str, Any] = {"operator_cost_nano": 1000 + number, "operator_cost_currency": "USD"}
    if story == 9:
        cost["usage"] = Usage(input_tokens=374, cached_input_tokens=3, output_tokens=4000)
    if story in {7, 8}:
        ledger.expire(hold.hold_id)
    if story == 6:
        ledger.complete(completion(hold, attempts=[attempt_on(hold, outcome="failed")], charged=None))
    elif story != 7:
        ledger.complete(completion(hold, attempts=[attempt_on(hold, **cost)]))
    if story == 5:
        ledger.refund(hold.account_id, hold.request_id, "0.0005")


def _disarm(connection: Connection) -> None:
    """What a superuser does first: no triggers, and identities that can be chosen."""
    connection.execute("set session_replication_role = replica")
    for table, column in (("account", "id"), ("balance_move", "seq")):
        connection.execute(f"alter table {table} alter column {column} set generated by default".encode())


def _tamper(forger: Forger, outside: list[Published], report: Report) -> None:
    (kind,) = forger.dice.choices(list(WEIGHTS), list(WEIGHTS.values()))
    forger.connection.execute("begin")
    try:
        name = getattr(forger, kind)()
        if not check_seal(forger.connection, patience_s=0, outside=outside, keys=KEYS):
            report.missed.append(name)
        report.made[name] += 1
    except NothingChangedError:
        pass
    finally:
        forger.connection.execute("rollback")


def _control(connection: Connection, outside: list[Published], report: Report) -> None:
    with connection.transaction():
        report.false_alarms += check_seal(connection, patience_s=0, outside=outside, keys=KEYS)
    report.controls += 1


def main() -> int:
    """Run on an engine of its own and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tamperings", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with ground(kafka=False) as on:
        report = prove(on.database_url, asked.tamperings, progress=Progress("tampering", asked.tamperings), seed=asked.seed)
    print(report)
    for name, count in sorted(report.made.items()):
        print(f"  {count:5}  {name}")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
