"""Ends runs in time: those past their deadline, and those that wait for their last hold."""

import asyncio
from collections.abc import Callable

import psycopg
import structlog
from psycopg.rows import TupleRow

from services.settlement import metrics
from services.settlement.run_closing import close_due_runs
from services.settlement.turns import take_turn

log = structlog.get_logger(__name__)
BATCH = 100


class RunKeeper:
    """Looks every few seconds; one process at a time."""

    def __init__(self, connect: Callable[[], psycopg.Connection[TupleRow]], *, interval_s: float) -> None:
        self._connect = connect
        self._interval_s = interval_s

    async def run(self, stop: asyncio.Event) -> None:
        """Look until `stop` is set; errors of Postgres are waited out."""
        while not stop.is_set():
            try:
                closed = await asyncio.to_thread(self.look)
                metrics.RUNS_CLOSED.inc(closed)
            except psycopg.Error as error:
                log.warning("run_keeper_waits", error=type(error).__name__, detail=str(error)[:200])
            try:
                async with asyncio.timeout(self._interval_s):
                    await stop.wait()
            except TimeoutError:
                continue

    def look(self) -> int:
        """One look. Returns how many runs were closed."""
        connection = self._connect()
        try:
            if not take_turn(connection, "run-keeper"):
                return 0
            return close_due_runs(connection, limit=BATCH)
        finally:
            connection.close()
