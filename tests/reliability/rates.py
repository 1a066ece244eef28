"""Rates of the ledger: holds on one wallet, and settling events through the worker. Figures only: nothing is asserted.

`python -m tests.reliability.rates --holds 50000 --events 100000`. Durability is on, and printed. The load shares the machine
with what is measured, so that CPU per hold and event says more than the rate.
"""

import argparse
import os
from collections.abc import Iterator
from itertools import chain

from tests.bench.ledger import settings
from tests.integration.settlement.ledger import running_ledger
from tests.reliability.ground import Ground, ground, second_database
from tests.reliability.hold_rates import HoldRate, gathered, one_per_call
from tests.reliability.population import accounts, limit_three_ways
from tests.reliability.progress import Progress
from tests.reliability.settle_rates import SettleRate, measure

CLIENTS = 32


def hold_rates(on: Ground, holds: int) -> Iterator[HoldRate]:
    """One wallet, first without limits, then within three nested envelopes."""
    with running_ledger(on.database_url) as ledger:
        plain, limited = accounts(ledger, 2, "100000000")
        limit_three_ways(ledger, limited, "100000000")
        for account, words in ((plain, ""), (limited, ", three nested limits")):
            yield one_per_call(on, ledger, account, clients=CLIENTS, holds=holds // 2, words=words)
            for per_call in (64, 128):
                yield gathered(on, ledger, account, per_call=per_call, holds=holds, words=words)


def settle_rates(on: Ground, events: int) -> Iterator[SettleRate]:
    """Events of many accounts, which lie in every partition, and of one, which lie in one."""
    for holders in (50, 1):
        with second_database(on) as beside:
            yield measure(beside, events=events, holders=holders, progress=Progress("settle", events))


def main() -> int:
    """Measure on engines of its own and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--holds", type=int, default=50_000, help="0: none are measured")
    parser.add_argument("--events", type=int, default=100_000, help="0: none are measured")
    asked = parser.parse_args()
    with ground(kafka=True) as on:
        print(settings(on.database_url), f"{os.cpu_count()} cores, of which others use {os.getloadavg()[0]:.1f}")
        holds = hold_rates(on, asked.holds) if asked.holds else ()
        events = settle_rates(on, asked.events) if asked.events else ()
        for rate in chain(holds, events):
            print(rate, flush=True)
    return 0


if __name__ == "__main__":
    main()
