"""Takes batches under leases, so many at once, and brings each to its end."""

from __future__ import annotations

import asyncio

import structlog

from services.router import metrics
from services.router.batch.line_queue import STORE_ERRORS
from services.router.batch.runner import Runner
from services.router.batch.store import BatchStore, Leased
from services.router.errors import StorageUnavailableError

LOOK_S = 0.5
PAUSE_S = 2.0

log = structlog.get_logger(__name__)


class Worker:
    """The loop over batches. `close` ends it: what is under way is finished, bounded, and the rest let go of."""

    def __init__(self, store: BatchStore, runner: Runner, name: str, *, at_once: int, lease_s: float) -> None:
        self._store = store
        self._runner = runner
        self._name = name
        self._at_once = at_once
        self._lease_s = lease_s
        self._running: set[asyncio.Task[None]] = set()
        metrics.BATCHES_LEASED.set_function(lambda: len(self._running))

    async def run(self) -> None:
        """Look for batches until cancelled."""
        while True:
            leased = None
            if len(self._running) < self._at_once:
                try:
                    leased = await self._store.lease(self._name, self._lease_s)
                except STORE_ERRORS as exc:
                    log.warning("no_batch_leased", reason=type(exc).__name__)
            if leased is None:
                await asyncio.sleep(LOOK_S)
                continue
            task = asyncio.create_task(self._one(leased))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def close(self, bound_s: float) -> None:
        """Let lines that are under way end, for at most `bound_s` seconds."""
        self._runner.close()
        if self._running:
            _, late = await asyncio.wait(set(self._running), timeout=bound_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _one(self, leased: Leased) -> None:
        """One batch. What it cannot reach now it tries again after a pause, under another lease."""
        batch_id = leased.event.data.batch_id
        try:
            await self._runner.run(leased)
        except (StorageUnavailableError, *STORE_ERRORS) as exc:
            log.warning("batch_waits", batch_id=batch_id, reason=str(exc))
            await asyncio.sleep(PAUSE_S)
        except Exception:
            log.exception("batch_broke", batch_id=batch_id)
            await asyncio.sleep(PAUSE_S)
