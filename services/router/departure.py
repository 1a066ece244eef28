"""What the client's leaving does to the upstream call under way, by its channel's policy: it is drained, or cancelled.

A call that is drained needs no watching: what it comes to is read in any case, within its own bounds. Only a channel that
cancels costs a task per call, which waits for the client's leaving.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from math import inf
from time import monotonic
from typing import Any, Final, TypeVar

from services.router.call import Running
from services.router.errors import UpstreamError
from services.router.presence import Receive, has_gone

T = TypeVar("T")
LOOK_S: Final = 0.25
"""How often a stream that is drained asks whether its client is still there."""
EARLY_S: Final = 0.01
"""Timers count in milliseconds of the loop's own clock, and may fire a little early."""


class Departure:
    """Whether the client of one stream has left, and how long its upstream may still be read: `until`, on the loop's clock."""

    __slots__ = ("_cancels", "_drain_s", "_look_at", "_receive", "patience", "until")

    def __init__(self, running: Running, receive: Receive, drain_s: float) -> None:
        self._cancels = running.place.channel.on_disconnect == "cancel"
        self._drain_s = drain_s
        self._receive = receive
        self._look_at = 0.0
        self.until = inf
        self.patience: asyncio.Timeout | None = None

    def look(self, now: float) -> None:
        """Ask whether the client has gone, four times a second at most."""
        if now >= self._look_at:
            self._look_at = now + LOOK_S
            if self.until == inf and has_gone(self._receive):
                self.left(now)

    def left(self, now: float) -> None:
        """The client has gone, or reads no more."""
        self.until = min(self.until, now if self._cancels else now + self._drain_s)

    def is_over(self, now: float) -> bool:
        """Whether the upstream is to be read no further."""
        return now >= self.until - EARLY_S

    @asynccontextmanager
    async def noticed(self) -> AsyncIterator[None]:
        """Within, a channel that cancels is told at once and not only when its upstream says something."""
        if not self._cancels:
            yield
            return
        async with _watched(self._receive, self._end):
            yield

    def _end(self) -> None:
        self.left(monotonic())
        if self.patience is not None:
            self.patience.reschedule(self.until)


async def unless_gone(running: Running, receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What `work` comes to. Raises :class:`UpstreamError` (client_gone) where the client left and the channel cancels."""
    if running.place.channel.on_disconnect == "drain":
        return await work
    try:
        async with asyncio.timeout(None) as patience, _watched(receive, lambda: patience.reschedule(monotonic())):
            return await work
    except TimeoutError:
        if not patience.expired():
            raise
        raise UpstreamError("client_gone", "pass", sent=True, after_disconnect="cancelled") from None


@asynccontextmanager
async def _watched(receive: Receive, leave: Callable[[], None]) -> AsyncIterator[None]:
    watch = asyncio.create_task(_watch(receive, leave))
    try:
        yield
    finally:
        watch.cancel()


async def _watch(receive: Receive, leave: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    leave()
