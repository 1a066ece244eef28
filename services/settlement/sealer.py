"""Seals what is committed, about every second: one sealer at a time, by an advisory lock that lives as long as its connection.

It reads committed rows that never change again and writes tables of its own, so that it waits for nobody and nobody for it.
What was sealed and signed is appended to the checkpoint file after the commit; what a crash kept from it is made up for at the
next start.
"""

import asyncio
import time
from collections.abc import Callable

import psycopg
import structlog
from psycopg.rows import TupleRow

from schemas.notes import SigningKey
from services.settlement import metrics
from services.settlement.checkpoint_file import CheckpointFile
from services.settlement.errors import BrokenSealError
from services.settlement.seal_store import SealStore
from services.settlement.turns import take_turn

log = structlog.get_logger(__name__)
RETRY_S = 1.0
BROKEN_S = 10.0


class Sealer:
    """Seals until it is stopped. Errors of Postgres and of the file are waited out; nothing is lost, it waits in the queue."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[TupleRow]],
        key: SigningKey,
        *,
        batch: int,
        interval_s: float,
        file: CheckpointFile | None = None,
    ) -> None:
        self._connect = connect
        self._key = key
        self._batch = batch
        self._interval_s = interval_s
        self._file = file
        self._connection: psycopg.Connection[TupleRow] | None = None
        self._store: SealStore | None = None
        self._signed_at = 0.0
        self._kept = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Seal until `stop` is set."""
        while not stop.is_set():
            pause = await asyncio.to_thread(self._round)
            if pause > 0:
                try:
                    async with asyncio.timeout(pause):
                        await stop.wait()
                except TimeoutError:
                    continue
        await asyncio.to_thread(self.close)

    def _round(self) -> float:
        """One batch. Returns how long to pause: not at all while there is more."""
        try:
            return 0.0 if self.seal() else self._interval_s
        except BrokenSealError as error:
            log.error("seal_broken", error=str(error))  # noqa: TRY400 - the message says all that a person needs
            pause = BROKEN_S
        except (psycopg.Error, OSError) as error:
            log.warning("sealer_waits", error=type(error).__name__)
            pause = RETRY_S
        self.close()
        return pause

    def seal(self) -> bool:
        """Seal one batch, if no other sealer runs. Returns whether more waits.

        Raises BrokenSealError, psycopg.Error, OSError: close and begin anew.
        """
        store = self._store or self._open()
        if store is None:
            return False
        started = time.monotonic()
        sealed = store.seal(self._batch, sign=started - self._signed_at >= self._interval_s)
        if sealed.checkpoint:
            self._signed_at = started
            metrics.CHECKPOINT_SIZE.set(sealed.checkpoint.size)
            if self._file:
                self._catch_up(store, self._file, self._kept)
        if sealed.entries:
            metrics.SEALED.inc(sealed.entries)
            metrics.SEAL_SECONDS.observe(time.monotonic() - started)
        return sealed.more

    def close(self) -> None:
        """Give the lock up."""
        connection, self._connection, self._store = self._connection, None, None
        if connection is not None:
            connection.close()

    def _open(self) -> SealStore | None:
        """Take the lock and go on where the last sealer ended; None where another one runs."""
        self._connection = connection = self._connect()
        if not take_turn(connection, "sealer"):
            self.close()
            return None
        store = SealStore(connection, self._key)
        self._kept = 0
        if self._file:
            self._kept = self._file.last_size()
            if self._kept > store.size:
                raise BrokenSealError(f"{self._kept} entries were published, and only {store.size} are in the ledger")
            self._catch_up(store, self._file, self._kept)
        self._store = store
        return store

    def _catch_up(self, store: SealStore, file: CheckpointFile, after: int) -> None:
        """Append the checkpoints that the file does not have yet."""
        while found := store.checkpoints_after(after):
            file.append(found)
            after = found[-1][0]
        self._kept = after
