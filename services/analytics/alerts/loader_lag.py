"""How far behind this process's loader is, where it is the one that loads, or should and cannot."""

import time
from collections.abc import Callable

from services.analytics.loader import WAITING, LoaderState

STANDBY_S = 15.0
"""A loader that comes back waits for its lease for a moment; one that waits for longer leaves the loading to another."""


class LoaderLag:
    """In seconds. None where another process loads."""

    def __init__(self, state: LoaderState, clock: Callable[[], float] = time.time) -> None:
        self._state = state
        self._clock = clock
        self._failing_since: float | None = None
        self._waiting_since: float | None = None

    def seconds(self) -> float | None:
        """While it loads: from an event to its row lately, or since when a batch is under way. While it fails: for how long."""
        now_s, state = self._clock(), self._state
        if state.reason is None or self._is_standby(now_s):
            self._failing_since = None
        if state.reason is None:
            lately_ms = state.lag.lately_ms(now_s)
            under_way_s = 0.0 if state.batch_since is None else now_s - state.batch_since
            return max(0.0 if lately_ms is None else lately_ms / 1000, under_way_s)
        if "Error: " in state.reason:
            self._failing_since = self._failing_since or now_s
        return None if self._failing_since is None else now_s - self._failing_since

    def _is_standby(self, now_s: float) -> bool:
        if self._state.reason != WAITING:
            self._waiting_since = None
            return False
        self._waiting_since = self._waiting_since or now_s
        return now_s - self._waiting_since >= STANDBY_S
