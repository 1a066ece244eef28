"""What is usual: by the hour of the week where there is history, by less where there is less."""

import pytest

from services.analytics.signals.baseline import baseline_at, rate_baseline_at
from services.analytics.signals.rates import noise_of_distance, wilson


def test_with_two_weeks_the_hours_of_the_week_are_asked() -> None:
    busy = {hour: 1_000.0 if hour % 168 in {9, 10, 11} else 10.0 for hour in range(336)}
    at_ten, at_night = baseline_at(busy, 336 + 10), baseline_at(busy, 336 + 40)
    assert at_ten is not None
    assert at_night is not None
    assert (at_ten.source, at_ten.centre, at_night.centre) == ("hour_of_week", 1_000, 10)


def test_with_three_days_the_hours_of_the_day_are_asked() -> None:
    busy = {hour: 1_000.0 if hour % 24 in {9, 10, 11} else 10.0 for hour in range(72)}
    at_ten = baseline_at(busy, 72 + 10)
    assert at_ten is not None
    assert (at_ten.source, at_ten.centre) == ("hour_of_day", 1_000)


def test_with_half_a_day_every_hour_is_asked_and_with_less_nothing_is_known() -> None:
    found = baseline_at(dict.fromkeys(range(12), 7.0), 12)
    assert found is not None
    assert (found.source, found.centre, found.spread) == ("every_hour", 7, 0)
    assert baseline_at(dict.fromkeys(range(11), 7.0), 11) is None
    assert baseline_at({}, 11) is None


def test_an_hour_in_which_nothing_was_counted_is_a_zero_once_there_was_something() -> None:
    found = baseline_at({100: 50.0}, 100 + 30)
    assert found is not None
    assert found.centre == 0


def test_what_is_older_than_four_weeks_is_forgotten() -> None:
    assert baseline_at({0: 50.0}, 700) is None


def test_a_rate_is_usual_only_after_hours_that_tell_something() -> None:
    assert rate_baseline_at(dict.fromkeys(range(5), (1, 100)), 5) is None
    assert rate_baseline_at(dict.fromkeys(range(100), (1, 2)), 100) is None
    found = rate_baseline_at({**dict.fromkeys(range(20), (2, 100)), 20: (90, 100)}, 21)
    assert found is not None
    assert (found.centre, found.spread) == (0.02, 0)


@pytest.mark.parametrize(
    ("events", "trials", "low", "high"), [(0, 0, 0, 1), (1, 1, 0.13, 1), (5, 5, 0.42, 1), (50, 100, 0.37, 0.63)]
)
def test_few_events_say_little_of_a_rate(events: int, trials: int, low: float, high: float) -> None:
    assert wilson(events, trials) == pytest.approx((low, high), abs=0.01)


def test_chance_explains_less_the_more_requests_there_are() -> None:
    few, many = (noise_of_distance([0.5, 0.5], requests) for requests in (50, 5_000))
    assert 0.25 < few < 0.4
    assert many < 0.04
    assert noise_of_distance([1.0], 0) == 1
