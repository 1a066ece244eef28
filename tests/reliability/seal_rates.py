"""How many transactions a second the sealer seals, and what each costs.

`python -m tests.reliability.seal_rates --entries 20000`. One captured request is one entry, with four postings, a balance move,
the hold that it ended and its receipt. The sealer works alone here and through everything that waits: batch after batch, as
after a rest.
"""

import argparse
import os
import random
import sys
import time
from dataclasses import dataclass

import psutil

from services.settlement.database import connect
from services.settlement.garbage import BACKLOG_OBJECTS, calm
from services.settlement.sealer import Sealer
from tests.integration.settlement.ledger import TIMEOUT_MS, Ledger, running_ledger
from tests.integration.settlement.sealing import KEY, violations
from tests.reliability.ground import ground
from tests.reliability.population import accounts, placed, usual_end
from tests.reliability.progress import Progress

AT_ONCE = 2000
BATCH = 500
"""As the worker's setting has it."""


@dataclass(frozen=True, slots=True)
class SealRate:
    """Entries, seconds, and CPU in microseconds per entry: the sealer's own, and its Postgres connection's."""

    entries: int
    seconds: float
    sealer_us: float
    postgres_us: float
    load: float
    violations: int

    def __str__(self) -> str:
        per_second = self.entries / self.seconds
        per_cpu = 1e6 / (self.sealer_us + self.postgres_us)
        return (
            f"{self.entries:,} entries: {per_second:,.0f}/s beside a load of {self.load:.1f} on {os.cpu_count()} cores;"
            f" CPU per entry {self.sealer_us:.0f} µs in Python and {self.postgres_us:.0f} µs in Postgres, so that"
            f" one core's time seals {per_cpu:,.0f}/s; I11 finds {self.violations} violations"
        )


def measure(database_url: str, entries: int, *, progress: Progress) -> SealRate:
    """Settle so many requests on an empty database, then seal them."""
    with running_ledger(database_url) as ledger:
        _settle(ledger, entries, progress)
        connections = [connect(database_url, statement_timeout_ms=TIMEOUT_MS, name="seal-rate")]
        backend = psutil.Process(connections[0].info.backend_pid)
        sealer = Sealer(connections.pop, KEY, batch=BATCH, interval_s=1)
        calm(BACKLOG_OBJECTS)  # as in the worker
        before, began, mine = _cpu(backend), time.monotonic(), time.process_time()
        while sealer.seal():
            pass
        seconds, mine = time.monotonic() - began, time.process_time() - mine
        theirs = _cpu(backend) - before
        sealed = ledger.count("seal")
        sealer.close()
        found = len(violations(ledger))
    load = os.getloadavg()[0]
    return SealRate(sealed, seconds, mine / sealed * 1e6, theirs / sealed * 1e6, load, found)


def _settle(ledger: Ledger, entries: int, progress: Progress) -> None:
    names, dice = accounts(ledger, 8), random.Random(1)
    for start in range(0, entries, AT_ONCE):
        requests = placed(ledger, names, min(AT_ONCE, entries - start))
        ledger.complete(*[usual_end(request, dice) for request in requests])
        progress.at(start, "settled")
    ledger.as_owner("checkpoint")


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> int:
    """Run on an engine of its own and print the rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=20_000)
    entries = parser.parse_args().entries
    with ground(kafka=False) as on:
        rate = measure(on.database_url, entries, progress=Progress("seal", entries))
    print(rate)
    return 1 if rate.violations else 0


if __name__ == "__main__":
    sys.exit(main())
