"""The meter's windows: a batch that is read twice, because its loader or the meter was killed, counts once."""

from collections import defaultdict
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from faust.windows import TumblingWindow

from schemas.samples import ChannelSampleData
from services.analytics.meter.channel_windows import PANE_S, ChannelWindows
from services.analytics.meter.windows import TokenWindows

SECOND = 1_000_000


class Table(defaultdict[str, Any]):
    """Panes by name, as a windowed table of Faust gives them."""

    def __init__(self, size_s: float) -> None:
        super().__init__(lambda: defaultdict(list))
        self.table = SimpleNamespace(window=TumblingWindow(size_s))


def test_tokens_of_a_batch_that_is_read_again_count_once() -> None:
    windows = TokenWindows(Table(1.0))
    windows.add("k", SECOND, 100, 7)
    windows.add("k", SECOND, 10, 8)
    for batch_no, tokens in ((7, 100), (8, 10)):
        windows.add("k", SECOND, tokens, batch_no)
    windows.add("k", SECOND + 1, 5, 8)
    assert windows.last_minute("k", SECOND + 1) == (115, frozenset())
    windows.add("k", SECOND, 1)
    assert windows.last_minute("k", SECOND).tokens == 111


def test_tags_that_rules_name_are_those_of_a_key_for_as_long_as_its_window_has_tokens_of_them() -> None:
    windows = TokenWindows(Table(1.0), lambda: frozenset({"job=nightly", "a=b"}))
    windows.add("k", SECOND, 100, 7, ["job=nightly", "other=1"])
    windows.add("k", SECOND, 1, 8)
    windows.add("k", SECOND + 59, 1, 8, ["a=b"])
    assert windows.last_minute("k", SECOND + 59) == (102, frozenset({"job=nightly", "a=b"}))
    assert windows.last_minute("k", SECOND + 60) == (1, frozenset({"a=b"}))


def test_panes_of_a_meter_of_before_are_counted_on() -> None:
    table = Table(1.0)
    windows = TokenWindows(table)
    table["k"][table.table.window.current(float(SECOND))] = 40
    windows.add("k", SECOND, 2, 1)
    assert windows.last_minute("k", SECOND).tokens == 42


def sample(second: int, batch_no: int | None) -> ChannelSampleData:
    """Ten attempts of a channel, one of which failed."""
    counts = {"attempts": 10, "failed": 1, "tokens": 100, "burned_attempts": 0, "burned_tokens": 0}
    return ChannelSampleData(channel="c", second=datetime.fromtimestamp(second, UTC), batch_no=batch_no, **counts)


def test_attempts_of_a_batch_that_is_read_again_count_once_for_each_of_its_seconds() -> None:
    windows = ChannelWindows(Table(float(PANE_S)))
    told = [(SECOND + 3, 7), (SECOND, 7), (SECOND + 3, 8)]
    for second, batch_no in [*told, *told, (SECOND + 4, 8)]:
        windows.add(sample(second, batch_no), second)
    failed, found = windows.last("c", SECOND + 9, PANE_S)
    assert (failed, found.attempts, found.tokens) == (4, 40, 400)
    windows.add(sample(SECOND, None), SECOND)
    assert windows.last("c", SECOND + 9, PANE_S)[0] == 5
