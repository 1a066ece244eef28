"""The loader's lag while it loads, hangs, fails and leaves the loading to another."""

from services.analytics.alerts.loader_lag import STANDBY_S, LoaderLag
from services.analytics.loader import STUCK_S, WAITING, LoaderState

FAILED = "WarehouseAwayError: ClickHouse: connection refused"


class At:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_batch_that_hangs_is_a_lag_that_grows_and_in_the_end_a_reason_not_to_be_ready() -> None:
    clock, state = At(), LoaderState(reason=None)
    lag = LoaderLag(state, clock)
    assert lag.seconds() == 0
    state.batch_since = clock.now_s
    clock.now_s += STUCK_S
    assert lag.seconds() == STUCK_S
    assert state.trouble(clock.now_s) is None
    clock.now_s += 1
    assert lag.seconds() == STUCK_S + 1
    assert "21 s" in (state.trouble(clock.now_s) or "")
    state.batch_since = None
    assert (lag.seconds(), state.trouble(clock.now_s)) == (0, None)


def test_a_failing_loaders_lag_grows_over_its_sessions_until_it_loads() -> None:
    clock, state = At(), LoaderState(reason=FAILED)
    lag = LoaderLag(state, clock)
    assert lag.seconds() == 0
    for reason in ("the session is ending", WAITING, "coming up to date", FAILED):
        clock.now_s += 5
        state.reason = reason
        found = lag.seconds()
    assert found == 20
    state.reason = None
    assert lag.seconds() == 0


def test_a_loader_that_failed_and_then_leaves_the_loading_to_another_has_no_lag() -> None:
    clock, state = At(), LoaderState(reason=FAILED)
    lag = LoaderLag(state, clock)
    lag.seconds()
    state.reason = WAITING
    lag.seconds()
    clock.now_s += STANDBY_S
    assert lag.seconds() is None
    clock.now_s += 100
    assert lag.seconds() is None
