"""A relay: from a table to Kafka, one at a time per table (an advisory lock), cleared after the acknowledgement."""

import asyncio
import time
from collections.abc import Callable

import psycopg
import structlog
from aiokafka.errors import KafkaError
from psycopg.rows import TupleRow

from services.settlement import metrics
from services.settlement.errors import SettlementError
from services.settlement.publisher import Publisher
from services.settlement.relay_store import Pending, Source
from services.settlement.turns import SILENT_S, take_turn

log = structlog.get_logger(__name__)
RETRY_S = 1.0
STANDBY_S = 2.0


class StandbyError(SettlementError):
    """Another process runs this relay: wait and try again."""


class Relay:
    """Moves rows until it is stopped. Errors of Kafka and Postgres are waited out; the rows stay where they are."""

    def __init__(
        self,
        source: Source,
        publisher: Publisher,
        connect: Callable[[], psycopg.Connection[TupleRow]],
        *,
        batch: int,
        interval_ms: float,
        silent_s: float = SILENT_S,
    ) -> None:
        self._source = source
        self._publisher = publisher
        self._connect = connect
        self._batch = batch
        self._interval_s = interval_ms / 1000
        self._silent_s = silent_s
        self._connection: psycopg.Connection[TupleRow] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop` is set."""
        while not stop.is_set():
            try:
                pause = await self._round()
            except StandbyError:
                pause = STANDBY_S
            except (psycopg.Error, KafkaError, OSError) as error:
                log.warning("relay_waits", relay=self._source.name, error=type(error).__name__)
                pause = RETRY_S
            await _sleep(stop, pause)
        await self._publisher.close()
        await asyncio.to_thread(self._close)

    async def _round(self) -> float:
        """One batch. Returns how long to pause: not at all while there is more."""
        started = time.monotonic()
        rows = await asyncio.to_thread(self._fetch)
        if rows:
            await self._publisher.send([message for _, message in rows])
            await asyncio.to_thread(self._clear, [row_id for row_id, _ in rows])
            metrics.PUBLISHED.labels(self._source.name).inc(len(rows))
        if len(rows) == self._batch:
            return 0.0
        return max(self._interval_s - (time.monotonic() - started), 0.001)

    def _fetch(self) -> list[Pending]:
        connection = self._locked()
        try:
            return self._source.next(connection, self._batch)
        except psycopg.Error:
            self._close()
            raise

    def _clear(self, ids: list[int]) -> None:
        connection = self._locked()
        try:
            self._source.published(connection, ids)
        except psycopg.Error:
            self._close()
            raise

    def _locked(self) -> psycopg.Connection[TupleRow]:
        """A connection that holds the relay's lock for as long as it lives."""
        if self._connection is not None and not self._connection.closed:
            return self._connection
        connection = self._connect()
        if not take_turn(connection, self._source.name, silent_s=self._silent_s):
            connection.close()
            raise StandbyError(f"another process relays {self._source.name}")
        self._connection = connection
        return connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    """Pause, but not beyond the stop."""
    if seconds > 0:
        try:
            async with asyncio.timeout(seconds):
                await stop.wait()
        except TimeoutError:
            return
