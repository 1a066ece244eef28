"""The bank test: 64 clients on one wallet within three nested envelopes, and nobody ever spends what is not there.

`python -m tests.reliability.bank --attempts 1000000`. Beside the clients a worker captures and releases, a sweeper expires,
payments come in and limits change, while a reader takes snapshots of the whole wallet. Ends with 1 when anything was overspent.
"""

import argparse
import asyncio
import random
import sys
import threading
from collections import Counter
from dataclasses import dataclass

from schemas.money import format_amount
from services.settlement.database import connect
from services.settlement.ledger_check import check
from tests.integration.settlement.ledger import NEVER_S, TIMEOUT_MS, Ledger, running_ledger
from tests.reliability.bank_customers import FIXED, HOLDER, Bank, Part
from tests.reliability.bank_snapshots import TIMEOUT_MS as CHECK_TIMEOUT_MS
from tests.reliability.bank_snapshots import Reader
from tests.reliability.ground import ground
from tests.reliability.named_sql import named
from tests.reliability.progress import Progress

CLIENTS = 64
PAUSE_S = 0.02
"""How often a payment comes and a limit changes."""
FIXED_NANO = 70_000
"""The fixed limits per attempt: the last part of a run meets them."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was done, what the snapshots and the final check found."""

    done: Counter[str]
    outcomes: dict[str, int]
    snapshots: int
    violations: list[str]

    def __str__(self) -> str:
        done = ", ".join(f"{count:,} {what}" for what, count in self.done.items())
        outcomes = ", ".join(f"{count:,} {what}" for what, count in self.outcomes.items())
        verdict = "nothing overspent" if not self.violations else f"{len(self.violations)} VIOLATIONS: {self.violations[:3]}"
        return f"{done}\nholds: {outcomes}\n{self.snapshots:,} snapshots: {verdict}"


def prove(database_url: str, attempts: int, *, progress: Progress) -> Report:
    """Run the bank on an empty database."""
    with running_ledger(database_url) as ledger:
        bank = Bank(ledger, attempts)
        bank.pay(ledger.connection, random.Random(0))
        for share, (kind, entity, window) in enumerate(FIXED, 1):
            ledger.limit(HOLDER, kind, entity, window, format_amount(attempts * FIXED_NANO // share))
        with Reader(database_url) as reader:
            _work(bank, attempts, progress)
        taken, violations = reader.snapshots.taken, reader.snapshots.violations
        progress.say("everything is settled: the whole ledger is checked")
        violations += _final(ledger, bank, reader)
        return Report(bank.done, dict(ledger.connection.execute(named("bank.sql")["outcomes"]).fetchall()), taken, violations)


def _work(bank: Bank, attempts: int, progress: Progress) -> None:
    """All of them at once; those beside the clients go on until nothing is left to end."""
    errors: list[BaseException] = []
    parts: list[Part] = [bank.settle, bank.expire, bank.pay, bank.limit]
    threads = [threading.Thread(target=_repeat, args=(bank, part, seed, errors)) for seed, part in enumerate(parts)]
    for thread in threads:
        thread.start()
    try:
        asyncio.run(_clients(bank, attempts, progress, errors))
    finally:
        bank.clients_done.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


async def _clients(bank: Bank, attempts: int, progress: Progress, errors: list[BaseException]) -> None:
    async with asyncio.TaskGroup() as group:
        clients = [group.create_task(bank.client(seed)) for seed in range(CLIENTS)]
        while not all(client.done() for client in clients):
            if errors:
                bank.left = 0
            progress.at(attempts - bank.left, " ".join(f"{what}={count:,}" for what, count in bank.done.items()))
            await asyncio.sleep(0.05)


def _repeat(bank: Bank, part: Part, seed: int, errors: list[BaseException]) -> None:
    """A part's thread: again at once while there is more to do, until the clients have gone and nothing is left."""
    dice = random.Random(1000 + seed)
    try:
        with connect(bank.ledger.url, statement_timeout_ms=TIMEOUT_MS) as connection:
            # Asked before the part looks: what a client left behind just before it went is still found by one more look.
            more = gone = False
            while more or not gone:
                gone = bank.clients_done.wait(0 if more else PAUSE_S)
                more = part(connection, dice)
    except BaseException as error:  # noqa: BLE001 - raised where the clients end
        errors.append(error)


def _final(ledger: Ledger, bank: Bank, reader: Reader) -> list[str]:
    """A last snapshot, every invariant, and the sums by an arithmetic of the test's own."""
    with connect(ledger.url, statement_timeout_ms=CHECK_TIMEOUT_MS, analytic=True) as connection:
        reader.snapshots.take(connection)
        found = [str(finding) for finding in check(connection, patience_s=NEVER_S) if not finding.ok]
        folded: dict[str, int] = dict(connection.execute(named("bank.sql")["folded"]).fetchall())
        expired = connection.execute(named("bank.sql")["expired_with_progress"]).fetchall()
    if ledger.balance(HOLDER)[1] != 0:
        found.append(f"{ledger.balance(HOLDER)[1]} nano are held by nobody's hold")
    if -folded["top_up_clearing"] != bank.paid_in_nano:
        found.append(f"{bank.paid_in_nano} nano were paid in, the ledger says {folded}")
    for read, written, held, captured, _ in expired:
        if captured != min(bank.charge_nano(read, written), held):
            found.append(f"an expired hold was charged {captured} nano for {read} and {written} tokens")
    # What was used is earned or written off; a hold that expired was charged for what it had shown, and never twice.
    earned = bank.revenue_nano + sum(max(captured - late, 0) for *_, captured, late in expired)
    if folded["revenue"] != earned:
        found.append(f"{earned} nano were used, the ledger says {folded}")
    return found


def main() -> int:
    """Run on engines of its own and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=1_000_000)
    attempts = parser.parse_args().attempts
    with ground(kafka=False) as on:
        report = prove(on.database_url, attempts, progress=Progress("bank", attempts))
    print(report)
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
