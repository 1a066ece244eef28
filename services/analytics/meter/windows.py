"""Tokens per key and second in a Faust table, read as the sum of the last sixty seconds.

A hopping window of sixty seconds by one would write sixty panes, and sixty changelog records, for each sample; panes of a
second are written once and summed when a key is judged.
"""

from typing import Any

from services.analytics.velocity import WINDOW_S


class TokenWindows:
    """A windowed table `key id → tokens`, in tumbling panes of one second. Written from within a stream only."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self._pane_of = table.table.window.current

    def add(self, key_id: str, second: int, tokens: int) -> None:
        """Count tokens in the pane of their second."""
        panes = self._table[key_id]
        pane = self._pane_of(float(second))
        panes[pane] = panes[pane] + tokens

    def last_minute(self, key_id: str, second: int) -> int:
        """Tokens of the sixty seconds that end with `second`."""
        panes = self._table[key_id]
        return sum(panes[self._pane_of(float(second - back))] for back in range(WINDOW_S))
