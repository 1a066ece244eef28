"""The lag window: quantiles to a tenth, over the last five minutes only."""

import pytest

from services.analytics.lag import LagWindow


def test_quantiles_are_exact_to_a_tenth() -> None:
    window = LagWindow()
    window.observe([float(number) for number in range(1, 1001)], now_seconds=100)
    p50, p99 = window.quantiles((0.5, 0.99), now_seconds=100)
    assert p50 == pytest.approx(500, rel=0.1)
    assert p99 == pytest.approx(990, rel=0.1)
    assert window.count(100) == 1000


def test_an_empty_window_has_no_quantiles() -> None:
    assert LagWindow().quantiles((0.5, 0.99), now_seconds=100) == [None, None]


def test_what_is_older_than_five_minutes_is_forgotten() -> None:
    window = LagWindow()
    window.observe([10_000.0], now_seconds=1000)
    window.observe([5.0], now_seconds=1290)
    assert window.count(1299) == 2
    assert window.count(1300) == 1
    (p99,) = window.quantiles((0.99,), now_seconds=1300)
    assert p99 == pytest.approx(5, rel=0.1)


def test_lags_below_and_beyond_all_bounds_are_counted() -> None:
    window = LagWindow()
    window.observe([-3.0, 0.0, 1e12], now_seconds=0)
    assert window.count(0) == 3
    assert window.quantiles((1.0,), now_seconds=0)[0] is not None
