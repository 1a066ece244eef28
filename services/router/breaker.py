"""The circuit breaker of one channel: a state machine over an injected clock. Pure.

closed → open      after `consecutive` failures in a row, or when in the last window at least `window_calls` calls were made
                   and at least `window_failure_ratio` of them failed
open → half_open   after `open_s`: one probe call is let through at a time
half_open → closed when the probe succeeds; → open again, twice as long (at most `open_max_s`), when it fails
"""

from __future__ import annotations

from typing import Literal, NamedTuple

State = Literal["closed", "open", "half_open"]


class BreakerLimits(NamedTuple):
    """When a breaker opens and for how long. Times in seconds."""

    consecutive: int = 5
    window_s: float = 30.0
    window_calls: int = 20
    window_failure_ratio: float = 0.5
    open_s: float = 10.0
    open_max_s: float = 60.0


class Breaker:
    """One channel's breaker. `now` is any monotonic clock in seconds, the same for every call.

    `generation` grows with each change of the state: what a call of an older generation has to say comes too late, and is not
    told to the breaker. So an old call neither closes a circuit that is being probed nor frees the probe's place.
    """

    __slots__ = (
        "_calls", "_consecutive", "_failures", "_limits", "_open_s", "_opened_at", "_probing", "_window_at", "generation",
        "state",
    )  # fmt: skip

    def __init__(self, limits: BreakerLimits) -> None:
        self._limits = limits
        self.state: State = "closed"
        self.generation = 0
        self._consecutive = 0
        self._calls = self._failures = 0
        self._window_at = 0.0
        self._opened_at = 0.0
        self._open_s = limits.open_s
        self._probing = False

    def would_allow(self, now: float) -> bool:
        """Whether a call would be let through; changes nothing."""
        if self.state == "closed":
            return True
        if self.state == "open":
            return now - self._opened_at >= self._open_s
        return not self._probing

    def wait_s(self, now: float) -> float:
        """Seconds until a call may be let through: of an open circuit, 0 otherwise."""
        return max(0.0, self._opened_at + self._open_s - now) if self.state == "open" else 0.0

    def acquire(self, now: float) -> bool:
        """Let a call through, or not. Every True must be answered by one of succeeded, failed, or abandoned."""
        if self.state == "closed":
            return True
        if not self.would_allow(now):
            return False
        if self.state == "open":
            self._turn("half_open")
        self._probing = True
        return True

    def succeeded(self, now: float) -> None:
        """The channel answered (an error that is the request's own fault is an answer too)."""
        self._consecutive = 0
        if self.state == "half_open":
            self._close(now)
        self._count(now, failed=False)

    def failed(self, now: float) -> None:
        """The channel did not answer as it should."""
        self._consecutive += 1
        self._count(now, failed=True)
        if self.state == "half_open":
            self._open(now, min(self._open_s * 2, self._limits.open_max_s))
        elif self.state == "closed" and (self._consecutive >= self._limits.consecutive or self._too_many()):
            self._open(now, self._limits.open_s)

    def abandoned(self) -> None:
        """The call said nothing about the channel (the client left, the ledger was away): free the probe's place."""
        self._probing = False

    def _open(self, now: float, open_s: float) -> None:
        self._turn("open")
        self._opened_at = now
        self._open_s = open_s

    def _close(self, now: float) -> None:
        self._turn("closed")
        self._consecutive = 0
        self._open_s = self._limits.open_s
        self._window_at, self._calls, self._failures = now, 0, 0

    def _turn(self, state: State) -> None:
        self.state = state
        self.generation += 1
        self._probing = False

    def _count(self, now: float, *, failed: bool) -> None:
        if now - self._window_at >= self._limits.window_s:
            self._window_at, self._calls, self._failures = now, 0, 0
        self._calls += 1
        self._failures += failed

    def _too_many(self) -> bool:
        limits = self._limits
        return self._calls >= limits.window_calls and self._failures >= limits.window_failure_ratio * self._calls
