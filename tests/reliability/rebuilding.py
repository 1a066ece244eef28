"""Rebuilding: a ledger that worked is priced anew from offset 0 and compared to the last unit, and how long that takes.

`python -m tests.reliability.rebuilding --events 100000`. Ends with 1 when anything differs, or when a unit that was moved
behind the events' back is not named.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.settlement.audit import audit_store
from services.settlement.audit.audit_store import AuditOrder
from services.settlement.database import configure_json, connect
from tests.integration.settlement.ledger import Ledger
from tests.logins import as_service
from tests.reliability.ground import Ground, ground
from tests.reliability.population import accounts, limit_three_ways, placed, usual_end
from tests.reliability.progress import Progress
from tests.reliability.settle_rates import publish
from tests.reliability.worker_run import TIMEOUT_MS, worker

ACCOUNTS = 20
PATIENCE_S = 3600


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What one rebuilding found, and its time."""

    seconds: float
    report: dict[str, Any]

    @property
    def differences(self) -> int:
        """Everything that differs."""
        parts = [*self.report["differences"].values(), *self.report["findings"].values()]
        return sum(part["count"] for part in parts)

    def __str__(self) -> str:
        counts = self.report["counts"]
        events = counts["completions"] + counts["ledger_events"]
        return (
            f"{counts['completions']:,} completions and {counts['ledger_events']:,} events of the ledger rebuilt in"
            f" {self.seconds:.0f} s ({events / self.seconds:,.0f}/s): {counts['buckets']} buckets, {counts['windows']} windows,"
            f" {counts['transactions']:,} transactions compared, {self.differences} differ"
        )


def prove(on: Ground, events: int, progress: Progress) -> tuple[Rebuilt, Rebuilt]:
    """Let a ledger work, rebuild it; then move one unit of one bucket, and rebuild it again."""
    ledger = Ledger(on.database_url)
    try:
        names = accounts(ledger, ACCOUNTS)
        limit_three_ways(ledger, names[0])
        requests = placed(ledger, names, events)
        ledger.as_owner("delete from consumer_offset")
        dice = random.Random(5)
        publish(on.kafka, [usual_end(request, dice) for request in requests])
        with worker(on) as run:
            run.until_read(events, progress)
            run.until_published()
            progress.say("settled and published")
            honest = rebuild(on)
            progress.say(str(honest))
            ledger.as_owner("update bucket_balance set posted = posted + 1 where holder = %s", names[-1])
            return honest, rebuild(on)
    finally:
        ledger.close()


def rebuild(on: Ground) -> Rebuilt:
    """One audit, as the API has it done."""
    started = time.monotonic()
    with connect(on.database_url, statement_timeout_ms=TIMEOUT_MS) as connection:
        audit_id: UUID = audit_store.start(connection, AuditOrder(kind="rebuild"), author="proof")
        login = as_service(on.database_url, "settlement")
        environment = os.environ | {"DATABASE_URL": login, "KAFKA_BOOTSTRAP_SERVERS": on.kafka}
        command = [sys.executable, "-m", "services.settlement.audit", str(audit_id)]
        subprocess.run(command, env=environment, timeout=PATIENCE_S, check=True)
        seconds = time.monotonic() - started
        audit = audit_store.read(connection, audit_id)
    assert audit["state"] == "done", audit
    return Rebuilt(seconds, audit["result"]["rebuild"])


def main() -> int:
    """Run on engines of its own and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    events = parser.parse_args().events
    configure_json()
    with ground(kafka=True) as on:
        honest, tampered = prove(on, events, Progress("rebuilding", events))
    print(honest)
    named = tampered.report["differences"]["buckets"]["first"]
    print(f"one unit moved in one bucket: {tampered.differences} difference named: {named}")
    return 0 if honest.differences == 0 and tampered.differences == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
