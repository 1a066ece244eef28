"""Where an instant lies in a bucket's moves, which are numbered in almost the order of their clocks. Pure."""

from collections.abc import Callable
from datetime import datetime

Probe = Callable[[int], tuple[int, datetime] | None]
"""The first move at or behind a number: (its number, its instant), None where there is none."""


def last_before(probe: Probe, instant: datetime, highest: int) -> int:
    """The number of a move before which all lies before the instant, as far as neighbours are in order; 0 for none.

    Halves the range of numbers until it is found: some thirty probes, however long the history is.
    """
    low, high = 0, highest + 1
    while high - low > 1:
        middle = (low + high) // 2
        found = probe(middle)
        if found is None or found[1] >= instant:
            high = middle
        else:
            low = max(middle, found[0])
    return low
