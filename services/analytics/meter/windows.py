"""Tokens per key and second in a Faust table, read as the sum of the last sixty seconds.

A hopping window of sixty seconds by one would write sixty panes, and sixty changelog records, for each sample; panes of a
second are written once and summed when a key is judged. A pane remembers the last batch that was counted in it: a batch that
is read again, because its loader or the meter was killed, counts once. It remembers those tags of its requests that rules
name, too: what a key used under one of them is in the window of a request without it.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from services.analytics.velocity import WINDOW_S


class Minute(NamedTuple):
    """What a key used within sixty seconds, and under which of the tags that rules name."""

    tokens: int
    tags: frozenset[str] = frozenset()


class TokenWindows:
    """A windowed table `key id → [tokens, batch, tags]`, in panes of one second. Written from within a stream only."""

    def __init__(self, table: Any, named: Callable[[], frozenset[str]] = frozenset) -> None:
        self._table = table
        self._pane_of = table.table.window.current
        self._named = named

    def add(self, key_id: str, second: int, tokens: int, batch_no: int | None = None, tags: Iterable[str] = ()) -> None:
        """Count tokens in the pane of their second: a batch has one sample for it."""
        panes = self._table[key_id]
        pane = self._pane_of(float(second))
        before, last, known = _counted(panes[pane])
        if batch_no is None or batch_no > last:
            told = sorted(self._named().intersection(tags).union(known))
            panes[pane] = [before + tokens, last if batch_no is None else batch_no, *([told] if told else [])]

    def last_minute(self, key_id: str, second: int) -> Minute:
        """The sixty seconds that end with `second`."""
        panes = self._table[key_id]
        found = [_counted(panes[self._pane_of(float(second - back))]) for back in range(WINDOW_S)]
        return Minute(sum(each[0] for each in found), frozenset(tag for each in found for tag in each[2]))


def _counted(pane: Any) -> tuple[int, int, list[str]]:
    """Tokens, last batch and tags of a pane; a meter of before kept the tokens alone."""
    if not pane or isinstance(pane, int):
        return pane or 0, 0, []
    return pane[0], pane[1], pane[2] if len(pane) > 2 else []
