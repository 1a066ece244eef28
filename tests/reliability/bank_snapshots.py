"""Reads the whole wallet in one snapshot, again and again while everybody works on it, and counts what does not add up."""

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from schemas.envelope import now
from services.settlement.database import connect
from tests.reliability.named_sql import named

TIMEOUT_MS = 120_000
RULES = ("overspent_buckets", "held_apart", "overspent_windows")
WALLET = ("customer_bucket", "run_reserve")


@dataclass
class Snapshots:
    """How many snapshots were taken, and every violation that one of them showed. No hold was placed before `began`."""

    began: datetime
    taken: int = 0
    violations: list[str] = field(default_factory=list)

    def take(self, connection: psycopg.Connection[TupleRow]) -> None:
        """One snapshot: nothing is overspent, held is what is open, and money only changes its place."""
        sql = named("bank.sql")
        with connection.transaction():
            connection.execute("set transaction isolation level repeatable read, read only")
            wallet = connection.execute(sql["totals"]).fetchone()
            folded: dict[str, int] = dict(connection.execute(sql["folded"]).fetchall())
            assert wallet is not None
            self._compare(wallet, folded)
            asked = {"began": self.began}
            for rule in RULES:
                self.violations += [f"{rule}: {row}" for row in connection.execute(sql[rule], asked).fetchall()]
        self.taken += 1

    def _compare(self, wallet: tuple[Any, ...], folded: dict[str, int]) -> None:
        posted, _, overrun = wallet
        owed = -folded.get("overrun_receivable", 0)
        if posted != sum(folded.get(kind, 0) for kind in WALLET) or overrun != owed:
            self.violations.append(f"the wallet's row says {wallet}, its postings say {folded}")
        # The wallet by its row, everything else by postings: what came in is still there, or was earned.
        constant = posted + sum(credit for kind, credit in folded.items() if kind not in WALLET)
        if constant != 0:
            self.violations.append(f"the sum of all money is {constant}, not 0: {wallet}, {folded}")


class Reader:
    """A thread that takes snapshots until it is stopped, with a pause as long as a snapshot takes."""

    def __init__(self, url: str) -> None:
        self.snapshots = Snapshots(now())
        self.error: BaseException | None = None
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            with connect(self._url, statement_timeout_ms=TIMEOUT_MS, name="reader", analytic=True) as connection:
                while not self._stop.is_set():
                    started = time.monotonic()
                    self.snapshots.take(connection)
                    self._stop.wait(time.monotonic() - started)
        except BaseException as error:  # noqa: BLE001 - raised where the block ends
            self.error = error
