"""How long events take to become rows: a histogram over the last minutes. Pure; the clock is handed in."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

# Each bound is 10% above the one before: quantiles are exact to a tenth.
BOUNDS_MS = tuple(round(1.1**n, 3) for n in range(160))
SLOT_SECONDS = 10
SLOTS = 30


@dataclass(slots=True)
class LagWindow:
    """Lags of the last five minutes in ms, in slots of ten seconds."""

    _slots: deque[tuple[int, list[int]]] = field(default_factory=deque)

    def observe(self, lags_ms: Iterable[float], now_seconds: float) -> None:
        """Add lags that ended now."""
        slot = int(now_seconds) // SLOT_SECONDS
        self._forget(slot)
        if not self._slots or self._slots[-1][0] != slot:
            self._slots.append((slot, [0] * (len(BOUNDS_MS) + 1)))
        counts = self._slots[-1][1]
        for lag_ms in lags_ms:
            counts[bisect_left(BOUNDS_MS, lag_ms)] += 1

    def quantiles(self, fractions: Iterable[float], now_seconds: float) -> list[float | None]:
        """The lag in ms below which the given fractions of events stayed; None where there were no events."""
        self._forget(int(now_seconds) // SLOT_SECONDS)
        counts = [sum(column) for column in zip(*(slot[1] for slot in self._slots), strict=True)]
        total = sum(counts)
        return [_quantile(counts, total, fraction) for fraction in fractions]

    def lately_ms(self, now_seconds: float) -> float | None:
        """The median of the last ten to twenty seconds; None where there were no events."""
        slot = int(now_seconds) // SLOT_SECONDS
        latest = [counts for when, counts in self._slots if when >= slot - 1]
        counts = [sum(column) for column in zip(*latest, strict=True)]
        return _quantile(counts, sum(counts), 0.5)

    def count(self, now_seconds: float) -> int:
        """Events in the window."""
        self._forget(int(now_seconds) // SLOT_SECONDS)
        return sum(sum(counts) for _, counts in self._slots)

    def _forget(self, slot: int) -> None:
        while self._slots and self._slots[0][0] <= slot - SLOTS:
            self._slots.popleft()


def _quantile(counts: list[int], total: int, fraction: float) -> float | None:
    if total == 0:
        return None
    wanted, seen = fraction * total, 0
    for position, number in enumerate(counts):
        seen += number
        if seen >= wanted:
            return BOUNDS_MS[min(position, len(BOUNDS_MS) - 1)]
    return BOUNDS_MS[-1]
