"""When an alert fires and when it is over."""

from datetime import UTC, datetime

import pytest

from services.analytics.velocity import SIGNAL, Subject, Thresholds, alert_event, alert_id, is_stale, judge

SUBJECT = Subject(account_id="acc_1", key_id="abcdefghijkl", environment="production")
NOW = datetime(2026, 11, 23, 12, 0, 1, 500_000, tzinfo=UTC)
SECOND = int(datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("observed", "firing", "verdict"),
    [
        (1000, False, "keep"),
        (1001, False, "fire"),
        (1_000_000, True, "keep"),
        (1000, True, "keep"),
        (800, True, "keep"),
        (799, True, "resolve"),
        (0, True, "resolve"),
        (0, False, "keep"),
    ],
)
def test_an_alert_fires_above_the_threshold_and_ends_below_four_fifths_of_it(observed: int, firing: bool, verdict: str) -> None:
    assert judge(observed, 1000, firing=firing) == verdict


def test_a_keys_own_threshold_goes_before_the_common_one() -> None:
    thresholds = Thresholds(tokens_per_minute=200_000, by_key={"abcdefghijkl": 5})
    assert thresholds.of("abcdefghijkl") == 5
    assert thresholds.of("other") == 200_000


def test_a_sample_from_a_backlog_says_nothing_about_this_minute() -> None:
    assert is_stale(SECOND, SECOND + 120.5)
    assert not is_stale(SECOND, SECOND + 119.0)


def test_an_alert_says_who_how_much_and_over_which_minute() -> None:
    event = alert_event(SUBJECT, "name", "firing", observed_tokens=250_000, threshold=200_000, second=SECOND, now=NOW)
    assert (event.account_id, event.environment, event.occurred_at) == ("acc_1", "production", NOW)
    assert (event.data.signal, event.data.subject_kind, event.data.subject_id) == (SIGNAL, "key", "abcdefghijkl")
    assert event.data.window_end == datetime(2026, 11, 23, 12, 0, 1, tzinfo=UTC)
    assert (event.data.window_end - event.data.window_start).total_seconds() == 60
    assert event.data.message == "Key abcdefghijkl used 250,000 tokens within a minute; its threshold is 200,000."


def test_a_repeated_alert_has_the_same_id_and_another_state_has_another() -> None:
    def event_id(state: str, second: int = SECOND) -> object:
        name = alert_id(SUBJECT, second)
        return alert_event(SUBJECT, name, state, observed_tokens=1, threshold=1, second=second, now=NOW).event_id  # type: ignore[arg-type]

    assert event_id("firing") == event_id("firing")
    assert len({event_id("firing"), event_id("resolved"), event_id("firing", SECOND + 1)}) == 3
