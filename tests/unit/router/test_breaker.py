"""The circuit breaker's states."""

from __future__ import annotations

from services.router.breaker import Breaker, BreakerLimits

LIMITS = BreakerLimits(consecutive=3, window_s=30, window_calls=10, window_failure_ratio=0.5, open_s=10, open_max_s=35)


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(LIMITS)
    for _ in range(3):
        assert breaker.acquire(now)
        breaker.failed(now)
    return breaker


def test_failures_in_a_row_open_it() -> None:
    breaker = opened()
    assert breaker.state == "open"
    assert not breaker.would_allow(9.9)
    assert not breaker.acquire(9.9)


def test_a_success_in_between_starts_the_row_anew() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(2):
        breaker.failed(0)
    breaker.succeeded(0)
    for _ in range(2):
        breaker.failed(0)
    assert breaker.state == "closed"


def test_half_of_a_busy_window_failing_opens_it() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(5):
        breaker.succeeded(1)
        breaker.failed(1)
    assert breaker.state == "open"


def test_failures_of_an_old_window_do_not_count() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(4):
        breaker.succeeded(1)
        breaker.failed(1)
    breaker.succeeded(40)
    breaker.failed(40)
    assert breaker.state == "closed"


def test_one_probe_at_a_time_passes_when_it_is_half_open() -> None:
    breaker = opened()
    assert breaker.would_allow(10)
    assert breaker.acquire(10)
    assert breaker.state == "half_open"
    assert not breaker.would_allow(10)
    assert not breaker.acquire(10)


def test_a_probe_that_succeeds_closes_it() -> None:
    breaker = opened()
    breaker.acquire(10)
    breaker.succeeded(11)
    assert breaker.state == "closed"
    assert breaker.acquire(11)


def test_a_probe_that_fails_opens_it_twice_as_long_up_to_the_bound() -> None:
    breaker = opened()
    now = 10.0
    for rest in (20, 35, 35):
        assert breaker.acquire(now)
        breaker.failed(now)
        assert not breaker.would_allow(now + rest - 0.1)
        now += rest
        assert breaker.would_allow(now)


def test_after_it_closed_the_first_rest_is_short_again() -> None:
    breaker = opened()
    breaker.acquire(10)
    breaker.failed(10)
    breaker.acquire(30)
    breaker.succeeded(30)
    for _ in range(3):
        breaker.failed(31)
    assert breaker.would_allow(41)


def test_a_probe_that_says_nothing_frees_its_place() -> None:
    breaker = opened()
    breaker.acquire(10)
    breaker.abandoned()
    assert breaker.state == "half_open"
    assert breaker.acquire(10)


def test_a_late_failure_of_an_older_call_does_not_prolong_the_rest() -> None:
    breaker = opened()
    breaker.failed(9)
    assert breaker.would_allow(10)
