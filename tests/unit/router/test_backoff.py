"""How long to wait, and when to move on instead."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.router.backoff import Backoff, delay_s, parse_retry_after, retry_after_of

BACKOFF = Backoff(base_s=0.1, cap_s=1.0, retry_after_max_s=2.0)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(("tries", "ceiling"), [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8), (5, 1.0), (500, 1.0)])
def test_the_jitter_is_full_under_an_exponential_ceiling(tries: int, ceiling: float) -> None:
    def wait(draw: float) -> float | None:
        return delay_s(BACKOFF, tries=tries, retry_after_s=None, remaining_s=100, draw=draw)

    assert wait(0.0) == 0
    assert wait(0.5) == pytest.approx(ceiling / 2)
    assert wait(0.999) == pytest.approx(ceiling * 0.999)


@pytest.mark.parametrize(("asked", "waited"), [(0.0, 0.0), (1.5, 1.5), (2.0, 2.0), (2.1, None), (60.0, None)])
def test_a_retry_after_is_waited_for_in_full_or_not_at_all(asked: float, waited: float | None) -> None:
    assert delay_s(BACKOFF, tries=1, retry_after_s=asked, remaining_s=100, draw=0.5) == waited


def test_nothing_is_waited_for_beyond_the_deadline() -> None:
    assert delay_s(BACKOFF, tries=5, retry_after_s=None, remaining_s=0.4, draw=0.5) is None
    assert delay_s(BACKOFF, tries=1, retry_after_s=1.0, remaining_s=1.0, draw=0.5) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("Mon, 23 Nov 2026 12:00:07 GMT", 7.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("", None),
        (None, None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("1e9", None),
        ("Mon, 01 Jan 99999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 9999 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text, NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"retry-after-ms": "-5", "retry-after": "1"}, 1.0),
        ({"retry-after-ms": "nan"}, None),
        ({"retry-after": "7"}, 7.0),
        ({}, None),
    ],
)
def test_a_wait_in_milliseconds_counts_before_one_in_seconds(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_of(headers, NOW) == seconds
