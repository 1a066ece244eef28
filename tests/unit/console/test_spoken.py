"""Amounts, durations and windows as people write them come out exact, or are refused with how to write them."""

from datetime import UTC, datetime, timedelta

import pytest

from services.console.spoken import SpokenError, amount, currency_in, duration, instant, seconds, signed_amount, window

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", "5.00"),
        ("12.50", "12.50"),
        ("1,200", "1200.00"),
        ("1,200,300.5", "1200300.50"),
        ("$5", "5.00"),
        ("5 USD", "5.00"),
        ("USD 5", "5.00"),
        ("0.000000001", "0.000000001"),
    ],
)
def test_an_amount_is_exact(text: str, expected: str) -> None:
    assert amount(text, "USD") == expected


@pytest.mark.parametrize(
    "text", ["", "five", "1,5", "1,20", "12,5.0", "-5", "1e3", "0.0000000001", "USD 5 USD", "5€", "\u0665", "1_000"]
)
def test_what_could_mean_two_things_or_nothing_is_refused(text: str) -> None:
    with pytest.raises(SpokenError):
        amount(text, "USD")


def test_nothing_is_converted() -> None:
    with pytest.raises(SpokenError, match="not in CNY"):
        amount("$5", "CNY")
    assert amount("5", "CNY") == "5.00"
    assert [currency_in(text) for text in ("$5", "5 CNY", "EUR 1", "7", "x")] == ["USD", "CNY", "EUR", None, None]


def test_an_adjustment_may_take() -> None:
    assert [signed_amount(text) for text in ("-1.5", "+2", "3")] == ["-1.50", "2.00", "3.00"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86400), ("2w", 14 * 86400), ("1mo", 30 * 86400), ("1 d", 86400)],
)
def test_a_duration_counts_seconds(text: str, expected: int) -> None:
    assert seconds(text) == expected
    assert duration(text) == timedelta(seconds=expected)


@pytest.mark.parametrize("text", ["", "0s", "5", "1.5h", "-1d", "1 hour", "99999999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(SpokenError, match="write 30s"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", "2026-04-13T12:00:00Z"),
        ("2026-12-31", "2026-12-31T00:00:00Z"),
        ("2026-12-31T10:00:00+02:00", "2026-12-31T08:00:00Z"),
        ("2026-12-31 10:00", "2026-12-31T10:00:00Z"),
        ("2026-12-31t10:00:00z", "2026-12-31T10:00:00Z"),
    ],
)
def test_a_time_is_an_instant_in_utc(text: str, expected: str) -> None:
    assert instant(text, NOW) == expected


def test_a_time_in_the_past_is_that_long_ago() -> None:
    assert instant("1d", NOW, past=True) == "2026-03-13T12:00:00Z"


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01", "2026-02-30", "12:00", "9999999y"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(SpokenError, match="is no time"):
        instant(text, NOW)


def test_windows_are_said_in_several_ways() -> None:
    assert [window(text) for text in ("1d", "daily", "per day", "1mo", "a month", "ever", "Total")] == [
        "day", "day", "day", "month", "month", "total", "total",
    ]  # fmt: skip
    with pytest.raises(SpokenError, match="total, day or month"):
        window("week")
