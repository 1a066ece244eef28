"""Looks every few seconds for promotional credit whose time is over, and keeps the lots of busy buckets up to date."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime

import psycopg
import structlog
from psycopg.rows import TupleRow

from services.settlement import credit_expiry, credit_store

log = structlog.get_logger(__name__)
BATCH = 100


class CreditSweeper:
    """Several may run at once: what one has taken the other finds taken. `clock` is injected."""

    def __init__(
        self, connect: Callable[[], psycopg.Connection[TupleRow]], *, interval_s: float, clock: Callable[[], datetime]
    ) -> None:
        self._connect = connect
        self._interval_s = interval_s
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until `stop` is set; errors of Postgres are waited out."""
        while not stop.is_set():
            try:
                await asyncio.to_thread(self.sweep)
            except psycopg.Error as error:
                log.warning("credit_sweep_waits", error=type(error).__name__)
            try:
                async with asyncio.timeout(self._interval_s):
                    await stop.wait()
            except TimeoutError:
                continue

    def sweep(self) -> int:
        """One look at every bucket with credit. Returns how many parts of it expired."""
        connection = self._connect()
        try:
            now = self._clock()
            for account in _all(lambda after: credit_expiry.stale(connection, after=after, limit=BATCH)):
                credit_store.catch_up(connection, account)
            expired = 0
            for account in _all(lambda after: credit_expiry.due(connection, now=now, after=after, limit=BATCH)):
                parts = credit_expiry.expire_credit(connection, account, now=now)
                expired += len(parts)
                for promotion_id, nano in parts:
                    log.info("credit_expired", promotion_id=str(promotion_id), amount_nano=nano)
            return expired
        finally:
            connection.close()


def _all(page: Callable[[int], list[int]]) -> Iterator[int]:
    """Every account, page by page, each once."""
    after = 0
    while found := page(after):
        yield from found
        after = found[-1]
