"""How far behind this process's loader is, where it is the one that loads, or should and cannot."""

import time
from collections.abc import Callable

from services.analytics.loader import LoaderState


class LoaderLag:
    """In seconds. None where another process loads."""

    def __init__(self, state: LoaderState, clock: Callable[[], float] = time.time) -> None:
        self._state = state
        self._clock = clock
        self._failing_since: float | None = None

    def seconds(self) -> float | None:
        """While it loads: from an event to its row, lately. While it fails: for how long."""
        now_s = self._clock()
        if self._state.reason is None:
            self._failing_since = None
            lately_ms = self._state.lag.lately_ms(now_s)
            return 0.0 if lately_ms is None else lately_ms / 1000
        if "Error: " not in self._state.reason:
            return None if self._failing_since is None else now_s - self._failing_since
        self._failing_since = self._failing_since or now_s
        return now_s - self._failing_since
