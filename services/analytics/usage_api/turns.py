"""Who is read for next: one question of each account at a time, so that an account with many holds up its own alone.

Reports share one handle to ClickHouse, as lists of requests do, which answers one call after the other, each for some
seconds at most. Without turns, whoever asks a hundred times at once would let everybody else wait for the hundred.
"""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from services.analytics.errors import TransientError

MOST_WAITING = 8


class TooManyReportsError(TransientError):
    """As many questions of the account wait as may: ask again when one of them has been answered."""


@dataclass(slots=True)
class _Line:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class Turns:
    """The lines in which the questions of each account wait. Nothing is kept of accounts that ask nothing."""

    def __init__(self, what: str = "usage reports") -> None:
        self._what = what
        self._lines: dict[Hashable, _Line] = {}

    @asynccontextmanager
    async def of(self, whose: Hashable, *, begun: bool = False) -> AsyncIterator[None]:
        """Wait for the turn and have it. Raises :class:`TooManyReportsError`, but for a report that was begun."""
        line = self._lines.setdefault(whose, _Line())
        if line.waiting >= MOST_WAITING and not begun:
            raise TooManyReportsError(f"{MOST_WAITING} {self._what} of the account are under way: ask again in a moment")
        line.waiting += 1
        try:
            async with line.lock:
                yield
        finally:
            line.waiting -= 1
            if not line.waiting:
                del self._lines[whose]
