"""What channels did, in a Faust table of panes of ten seconds, read as sums of the last minutes."""

from typing import Any

from schemas.samples import ChannelSampleData
from services.analytics.signals.shares import Burned

PANE_S = 10
LONGEST_S = 3600
"""The longest window that a rule may have: older panes are forgotten."""
FIELDS = ("attempts", "failed", "tokens", "burned_attempts", "burned_tokens")
EMPTY = (0, 0, 0, 0, 0)


class ChannelWindows:
    """A windowed table `channel → counts, batch, seconds of it`. Written from within a stream only.

    A pane remembers the last batch that was counted in it, and which of its seconds: what is read again counts once.
    """

    def __init__(self, table: Any) -> None:
        self._table = table
        self._pane_of = table.table.window.current

    def add(self, sample: ChannelSampleData, second: int) -> None:
        """Count a sample in the pane of its second."""
        panes = self._table[sample.channel]
        pane = self._pane_of(float(second))
        found = panes[pane] or EMPTY
        before, (last, seconds) = found[: len(FIELDS)], found[len(FIELDS) :] or (0, 0)
        batch_no, mask = sample.batch_no or last, 1 << second % PANE_S
        if sample.batch_no is not None:
            if sample.batch_no < last or (sample.batch_no == last and seconds & mask):
                return
            seconds = mask | (seconds if sample.batch_no == last else 0)
        sums = [was + getattr(sample, name) for was, name in zip(before, FIELDS, strict=True)]
        panes[pane] = [*sums, batch_no, seconds]

    def last(self, channel: str, second: int, window_s: int) -> tuple[int, Burned]:
        """Failed attempts, and attempts and tokens, of the panes of the last `window_s` seconds up to `second`'s."""
        panes = self._table[channel]
        sums = [0] * len(FIELDS)
        for back in range(0, window_s, PANE_S):
            if found := panes[self._pane_of(float(second - back))]:
                sums = [total + value for total, value in zip(sums, found[: len(FIELDS)], strict=True)]
        attempts, failed, tokens, burned_attempts, burned_tokens = sums
        burned = Burned(tokens=tokens, burned_tokens=burned_tokens, attempts=attempts, burned_attempts=burned_attempts)
        return failed, burned
