"""Tokens per key and second in a Faust table, read as the sum of the last sixty seconds.

A hopping window of sixty seconds by one would write sixty panes, and sixty changelog records, for each sample; panes of a
second are written once and summed when a key is judged. A pane remembers the last batch that was counted in it: a batch that
is read again, because its loader or the meter was killed, counts once.
"""

from typing import Any

from services.analytics.velocity import WINDOW_S


class TokenWindows:
    """A windowed table `key id → (tokens, batch)`, in tumbling panes of one second. Written from within a stream only."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self._pane_of = table.table.window.current

    def add(self, key_id: str, second: int, tokens: int, batch_no: int | None = None) -> None:
        """Count tokens in the pane of their second: a batch has one sample for it."""
        panes = self._table[key_id]
        pane = self._pane_of(float(second))
        before, last = _counted(panes[pane])
        if batch_no is None or batch_no > last:
            panes[pane] = [before + tokens, last if batch_no is None else batch_no]

    def last_minute(self, key_id: str, second: int) -> int:
        """Tokens of the sixty seconds that end with `second`."""
        panes = self._table[key_id]
        return sum(_counted(panes[self._pane_of(float(second - back))])[0] for back in range(WINDOW_S))


def _counted(pane: Any) -> tuple[int, int]:
    """Tokens and the last batch of a pane; a meter of before kept the tokens alone."""
    return (pane[0], pane[1]) if isinstance(pane, list) and pane else (pane or 0, 0)
