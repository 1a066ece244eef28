"""The worker process at work on what a proof has written to Kafka."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

from services.settlement.database import connect
from tests.integration.settlement.processes import Service, running
from tests.reliability.ground import Ground
from tests.reliability.progress import Progress

MODULE = "services.settlement.worker"
PATIENCE_S = 90.0
"""How long the worker may stand still before the proof gives up."""
POLL_S = 0.05
TIMEOUT_MS = 600_000


@dataclass(frozen=True, slots=True)
class Run:
    """A worker that runs, and a connection to watch it by."""

    service: Service
    watch: psycopg.Connection[TupleRow]

    def log(self) -> str:
        """The end of what the worker has said."""
        return self.service.log.read_text("utf-8")[-4000:]

    def read(self) -> int:
        """How many records the ledger has been moved past, over all partitions."""
        return self._number("select coalesce(sum(next), 0)::bigint from settlement.consumer_offset")

    def outbox(self) -> int:
        """How many events wait for the relay; at most 1 is counted."""
        return self._number("select count(*) from (select from settlement.outbox limit 1) as waiting")

    def until_read(self, records: int, progress: Progress) -> float:
        """Wait until so many records are behind the ledger; the seconds it took. Fails when the worker stands still."""
        started = time.monotonic()
        last, moved_at = -1, started
        while (at := self.read()) < records:
            if at != last:
                last, moved_at = at, time.monotonic()
            assert time.monotonic() - moved_at < PATIENCE_S, f"the worker stands at {at} of {records}: {self.log()}"
            assert self.service.process.poll() is None, f"the worker has ended: {self.log()}"
            progress.at(at, "read")
            time.sleep(POLL_S)
        return time.monotonic() - started

    def until_published(self) -> None:
        """Wait until the outbox is empty."""
        deadline = time.monotonic() + TIMEOUT_MS / 1000
        while self.outbox():
            assert time.monotonic() < deadline, f"the outbox is not emptied: {self.log()}"
            time.sleep(POLL_S)

    def _number(self, query: str) -> int:
        row = self.watch.execute(query.encode()).fetchone()
        assert row is not None
        return int(row[0])


@contextmanager
def worker(on: Ground, **settings: str) -> Iterator[Run]:
    """A worker process until the block ends. `settings` are variables of its environment."""
    with (
        tempfile.TemporaryDirectory() as directory,
        connect(on.database_url, statement_timeout_ms=TIMEOUT_MS, name="watch", analytic=True) as watch,
        running(MODULE, Path(directory) / "worker.log", on.database_url, on.kafka, wait="/healthz", **settings) as service,
    ):
        yield Run(service, watch)
