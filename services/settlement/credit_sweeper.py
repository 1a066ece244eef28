"""Looks every few seconds for promotional credit whose time is over, and keeps the lots of busy buckets up to date."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TypeVar
from uuid import UUID, uuid5

import psycopg
import structlog
from psycopg.rows import TupleRow

from services.settlement import credit_expiry, credit_store
from services.settlement.case_opening import open_once
from services.settlement.correction_store import CaseTerms
from services.settlement.settling import CaseDraft
from services.settlement.statements import statements

log = structlog.get_logger(__name__)
Found = TypeVar("Found")
CASES = UUID("0b5e7c52-8d0f-5d5a-9a51-6f1f4f0c2f11")
"""Namespace of the ids of `credit_mismatch` cases: one for each bucket."""
BATCH = 100


class CreditSweeper:
    """Several may run at once: what one has taken the other finds taken. `clock` is injected."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[TupleRow]],
        *,
        interval_s: float,
        clock: Callable[[], datetime],
        terms: CaseTerms,
    ) -> None:
        self._connect = connect
        self._terms = terms
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
                self._sound(connection, account, lambda each: credit_store.catch_up(connection, each))
            expired = 0
            for account in _all(lambda after: credit_expiry.due(connection, now=now, after=after, limit=BATCH)):
                parts = self._sound(connection, account, lambda each: credit_expiry.expire_credit(connection, each, now=now))
                expired += len(parts or ())
                for promotion_id, nano in parts or ():
                    log.info("credit_expired", promotion_id=str(promotion_id), amount_nano=nano)
            return expired
        finally:
            connection.close()

    def _sound(self, connection: psycopg.Connection[TupleRow], account: int, step: Callable[[int], Found]) -> Found | None:
        """What a step finds in a bucket. One whose moves do not fold becomes a case, and the others go on."""
        try:
            return step(account)
        except ValueError as error:
            log.exception("credit_does_not_fold", account=account)
            row = connection.execute(statements("credit.sql")["bucket"], {"account": account}).fetchone()
            assert row is not None, "a bucket is never removed"
            case = CaseDraft(
                id=uuid5(CASES, str(account)),
                kind="credit_mismatch",
                detail=f"the promotional credit of bucket {row[1]} does not follow from its moves: {error}; none of it expires",
                holder=row[0],
                currency=row[2],
            )
            open_once(connection, case, self._terms)
            return None


def _all(page: Callable[[int], list[int]]) -> Iterator[int]:
    """Every account, page by page, each once."""
    after = 0
    while found := page(after):
        yield from found
        after = found[-1]
