"""Counters of the last minute in this process: a storage for the `limits` library that never waits.

The library's own takes a task and a walk over every counter for each hit; this one takes a look-up, and forgets what was
counted longest ago where there are too many. Nothing here awaits anything, so that a hit is one step.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from limits.aio.storage import SlidingWindowCounterSupport, Storage

Clock = Callable[[], float]
CAPACITY = 100_000


class _Count(NamedTuple):
    """What was counted in the window of this number, and in the one before."""

    number: int
    current: int
    previous: int

    def at(self, number: int) -> "_Count":
        """The same as a later window sees it."""
        if number == self.number:
            return self
        return _Count(number, 0, self.current if number == self.number + 1 else 0)


class MemoryWindows(Storage, SlidingWindowCounterSupport):
    """Windows that begin at every multiple of their length."""

    STORAGE_SCHEME = None

    def __init__(self, *, capacity: int = CAPACITY, clock: Clock = time.time) -> None:
        super().__init__()
        self._capacity = capacity
        self._clock = clock
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    @property
    def base_exceptions(self) -> type[Exception]:
        """None is raised."""
        return ValueError

    def __len__(self) -> int:
        return len(self._counts)

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count the amount if there is room for it."""
        now = self._clock()
        count = self._at(key, expiry, now)
        worn = count.previous * (1 - now / expiry % 1)
        if int(worn + count.current) + amount > limit:
            return False
        self._keep(key, count._replace(current=count.current + amount))
        return True

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """The counts of the window before and of the present one, each with how long it goes on to count."""
        now = self._clock()
        count = self._at(key, expiry, now)
        left_s = (1 - now / expiry % 1) * expiry
        return count.previous, left_s if count.previous else 0.0, count.current, left_s + expiry

    async def correct(self, key: str, expiry: int, amount: int, counted_at: float) -> None:
        """Add to what was counted at that instant, or take from it; what no window holds any more is left."""
        count = self._at(key, expiry, self._clock())
        number = int(counted_at / expiry)
        if number == count.number:
            self._keep(key, count._replace(current=max(0, count.current + amount)))
        elif number == count.number - 1:
            self._keep(key, count._replace(previous=max(0, count.previous + amount)))

    async def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget a counter."""
        self._counts.pop(key, None)

    def _at(self, key: str, expiry: int, now: float) -> _Count:
        number = int(now / expiry)
        count = self._counts.get(key)
        return _Count(number, 0, 0) if count is None or count.number > number else count.at(number)

    def _keep(self, key: str, count: _Count) -> None:
        self._counts[key] = count
        self._counts.move_to_end(key)
        if len(self._counts) > self._capacity:
            self._counts.popitem(last=False)

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """What fixed windows would need; nothing here uses them."""
        raise NotImplementedError

    async def get(self, key: str) -> int:
        """As :meth:`incr`."""
        raise NotImplementedError

    async def get_expiry(self, key: str) -> float:
        """As :meth:`incr`."""
        raise NotImplementedError

    async def check(self) -> bool:
        """Memory is always there."""
        return True

    async def reset(self) -> int:
        """Forget everything."""
        forgotten = len(self._counts)
        self._counts.clear()
        return forgotten

    async def clear(self, key: str) -> None:
        """Forget a counter."""
        self._counts.pop(key, None)
