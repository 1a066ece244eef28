"""A batch under a lease, while its lines are worked on: what all of them share. Sync but for waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from schemas.batches import BatchAccepted, BatchError
from services.router.batch.identities import claimant
from services.router.batch.lifecycle import Stopped

SETTLING_S = 3.0
"""How long after its end a line's hold may still be open: the record that settles it is on its way."""
LOOK_AGAIN_S = 0.5


class Job:
    """One batch, from taking the lease to letting go of it."""

    def __init__(
        self, event: BatchAccepted, *, worker: str, epoch: int, stopped: Stopped | None, clock: Callable[[], float]
    ) -> None:
        self.event = event
        self.data = event.data
        self.epoch = epoch
        self.claimant = claimant(worker, epoch)
        self.stopped: Stopped | None = stopped
        self.error: BatchError | None = None
        self.lost = False
        self.calling = 0
        self._clock = clock
        self._ended_at = -SETTLING_S
        self._ended = asyncio.Event()

    @property
    def batch_id(self) -> str:
        """The batch's id."""
        return self.data.batch_id

    @property
    def working(self) -> bool:
        """Whether lines may be begun."""
        return self.stopped is None and not self.lost

    def look_at_clock(self, instant: datetime) -> None:
        """Stop where the batch's window is over."""
        if self.working and instant >= self.data.expires_at:
            self.stopped = "expired"

    def cancel(self) -> None:
        """Its owner wants no more lines begun."""
        if self.working:
            self.stopped = "cancelled"

    def stop(self, code: str, message: str) -> None:
        """No more lines may be begun."""
        if self.working:
            self.stopped = "failed"
            self.error = BatchError(code=code[:128], message=message)

    def begin_call(self) -> None:
        """A line is paid for and goes upstream."""
        self.calling += 1

    def end_call(self) -> None:
        """A line is over: what its hold kept beyond its price comes back in a moment."""
        self.calling -= 1
        self._ended_at = self._clock()
        self._ended.set()
        self._ended = asyncio.Event()

    async def money_may_come_back(self) -> bool:
        """Wait for a line of this batch to end, or to be settled. False where none is under way and none has just been."""
        if self.calling > 0:
            try:
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await self._ended.wait()
            except TimeoutError:
                pass
            return True
        if self._clock() - self._ended_at >= SETTLING_S:
            return False
        await asyncio.sleep(LOOK_AGAIN_S)
        return True
