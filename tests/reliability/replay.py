"""Replay and offsets: everything read again three times posts nothing; offsets that somebody moved are noticed or do no harm.

`python -m tests.reliability.replay --events 100000`. Ends with 1 when a replay posted anything; a tampering that came to
something else than it must ends it with an assertion.
"""

import argparse
import logging
import random
import sys
from dataclasses import dataclass

import psycopg
import structlog
from psycopg.rows import TupleRow

from services.settlement.database import connect
from tests.integration.settlement.ledger import running_ledger
from tests.reliability.books import Books, read_books
from tests.reliability.ground import Ground, empty_topics, ground, second_database
from tests.reliability.offsets import Offsets
from tests.reliability.population import accounts, placed, usual_end
from tests.reliability.progress import Progress
from tests.reliability.settle_rates import publish
from tests.reliability.tamperings import Outcome
from tests.reliability.worker_run import TIMEOUT_MS, worker

ACCOUNTS = 20
REPLAYS = 3
TABLES = ("posting", "txn", "balance_move", "receipt", "inbox", "case", "dead_letter")


@dataclass(frozen=True, slots=True)
class Report:
    """How many events were read how often, and every difference that a replay made."""

    events: int
    rows: dict[str, int]
    wrong: list[str]

    def __str__(self) -> str:
        verdict = "0 new postings" if not self.wrong else f"DIFFERENCES: {self.wrong[:3]}"
        return f"{self.events:,} events, replayed {REPLAYS} times from offset 0: {verdict}; rows {self.rows}"


def prove_replay(on: Ground, events: int, *, progress: Progress) -> Report:
    """Settle, then read everything again from offset 0, with a new worker process each time."""
    with running_ledger(on.database_url) as ledger:
        requests = placed(ledger, accounts(ledger, ACCOUNTS), events)
        ledger.as_owner("delete from consumer_offset")
    dice = random.Random(3)
    publish(on.kafka, [usual_end(request, dice) for request in requests])
    first, rows = _read_all(on, events, progress)
    wrong = list(first.broken)
    for _ in range(REPLAYS):
        again, found = _read_all(on, events, progress)
        wrong += again.differences(first) + again.broken
        wrong += [
            f"{table}: {rows[table]} rows before, {found[table]} after" for table in TABLES if rows[table] != found[table]
        ]
    return Report(events, rows, wrong)


def prove_offsets(on: Ground, *, progress: Progress) -> dict[str, Outcome]:
    """Every tampering with offsets and what came of it."""
    empty_topics(on)
    with running_ledger(on.database_url) as ledger:
        return Offsets(on, ledger).prove(progress)


def _read_all(on: Ground, events: int, progress: Progress) -> tuple[Books, dict[str, int]]:
    """Let a new worker read the topic from its beginning to its end."""
    with worker(on) as run:
        run.until_read(events, progress)
        run.until_published()
    books = read_books(on.database_url)
    with connect(on.database_url, statement_timeout_ms=TIMEOUT_MS) as connection:
        rows = {table: _count(connection, table) for table in TABLES}
        connection.execute("update consumer_offset set next = first, consumed = 0")
    progress.say(f"{rows['posting']:,} postings after reading {events:,} events")
    return books, rows


def _count(connection: psycopg.Connection[TupleRow], table: str) -> int:
    row = connection.execute(f'select count(*) from "{table}"'.encode()).fetchone()
    assert row is not None
    return int(row[0])


def main() -> int:
    """Run on engines of its own and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    events = parser.parse_args().events
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # halts are what is wanted here
    with ground(kafka=True) as on:
        report = prove_replay(on, events, progress=Progress("replay", events))
        print(report)
        with second_database(on) as beside:
            outcomes = prove_offsets(beside, progress=Progress("offsets", 0))
    for name, outcome in outcomes.items():
        print(f"{outcome:9} {name}")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
