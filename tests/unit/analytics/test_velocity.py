"""What a key's minute means."""

from datetime import UTC, datetime

import pytest

from services.analytics.velocity import SIGNAL, Subject, Thresholds, is_untimely, verdict_on

SUBJECT = Subject(account_id="acc_1", key_id="abcdefghijkl", project_id="prj_1", environment="production")
SECOND = int(datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("observed", "exceeded", "calm"),
    [
        (1000, False, False),
        (1001, True, False),
        (1_000_000, True, False),
        (800, False, False),
        (799, False, True),
        (0, False, True),
    ],
)
def test_a_minute_exceeds_above_the_threshold_and_is_calm_below_four_fifths_of_it(
    observed: int, exceeded: bool, calm: bool
) -> None:
    verdict = verdict_on(SUBJECT, observed, 1000, SECOND)
    assert (verdict.exceeded, verdict.calm) == (exceeded, calm)


def test_a_keys_own_threshold_goes_before_the_common_one() -> None:
    thresholds = Thresholds(tokens_per_minute=200_000, by_key={"abcdefghijkl": 5})
    assert thresholds.of("abcdefghijkl") == 5
    assert thresholds.of("other") == 200_000


def test_a_sample_from_a_backlog_or_of_tomorrow_says_nothing_about_this_minute() -> None:
    assert [is_untimely(SECOND, SECOND + late) for late in (120.5, 119.0, -119.0, -120.5)] == [True, False, False, True]


def test_a_verdict_says_who_how_much_and_over_which_minute() -> None:
    verdict = verdict_on(SUBJECT, 250_000, 200_000, SECOND)
    assert (verdict.account_id, verdict.project_id, verdict.environment) == ("acc_1", "prj_1", "production")
    assert (verdict.signal, verdict.subject_kind, verdict.subject_id) == (SIGNAL, "key", "abcdefghijkl")
    assert verdict.window_end == datetime(2026, 11, 23, 12, 0, 1, tzinfo=UTC)
    assert (verdict.window_end - verdict.window_start).total_seconds() == 60
