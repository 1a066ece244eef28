"""What a channel may be asked in a minute: never more than its limit in any sixty seconds, and the wait is exact."""

from __future__ import annotations

from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from services.router.limits import MinuteWindow

LIMIT = 10


def test_what_was_used_counts_for_a_minute_and_no_longer() -> None:
    window = MinuteWindow()
    window.add(4, 100.9)
    assert window.used(160.9) == 4
    assert window.used(161.0) == 0


def test_a_correction_goes_where_the_amount_was_counted_and_leaves_with_it() -> None:
    window = MinuteWindow()
    second = window.add(9, 100.0)
    window.correct(second, -6, 130.0)
    assert window.used(130.0) == 3
    assert window.used(161.0) == 0
    window.correct(second, 50, 170.0)
    assert window.used(170.0) == 0


def test_a_long_silence_forgets_everything() -> None:
    window = MinuteWindow()
    window.add(5, 10.0)
    assert window.used(1e9) == 0
    window.add(2, 1e9)
    assert window.used(1e9 + 1) == 2


def test_more_than_the_whole_limit_passes_where_nothing_else_counts() -> None:
    window = MinuteWindow()
    assert window.wait_s(LIMIT + 5, LIMIT, 100.0) == 0
    window.add(1, 100.0)
    assert window.wait_s(LIMIT + 5, LIMIT, 100.0) == 61.0


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, LIMIT)), max_size=60))
def test_no_minute_ever_holds_more_than_the_limit_and_waiting_as_told_is_enough(steps: list[tuple[float, int]]) -> None:
    window, now = MinuteWindow(), 1000.0
    passed: list[tuple[float, int]] = []
    for pause, amount in steps:
        now += pause
        wait = window.wait_s(amount, LIMIT, now)
        if wait:
            assert deepcopy(window).wait_s(amount, LIMIT, now + wait) == 0
            assert wait <= 0.01 or deepcopy(window).wait_s(amount, LIMIT, now + wait - 0.01) > 0
            continue
        window.add(amount, now)
        passed.append((now, amount))
    for at, _ in passed:
        assert sum(amount for other, amount in passed if at - 60 < other <= at) <= LIMIT
