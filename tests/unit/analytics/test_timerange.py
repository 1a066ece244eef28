"""The dashboard's time ranges: whole steps, bounded in number."""

from datetime import UTC, datetime, timedelta

import pytest

from services.analytics.admin_api import as_utc
from services.analytics.errors import QueryRefusedError
from services.analytics.timerange import MOST_BUCKETS, WANTED_BUCKETS, TimeRange

NOON = datetime(2026, 11, 23, 12, 0, 7, tzinfo=UTC)


@pytest.mark.parametrize("seconds", [1, 60, 900, 3600, 86_400, 30 * 86_400, 399 * 86_400])
def test_every_range_has_a_fitting_step_of_its_own(seconds: int) -> None:
    time = TimeRange.of(NOON - timedelta(seconds=seconds), NOON, None)
    assert 1 <= len(time.buckets) <= WANTED_BUCKETS + 2


def test_a_range_covers_what_was_asked_for_in_whole_steps() -> None:
    time = TimeRange.of(NOON - timedelta(minutes=10), NOON, 60)
    noon = int(NOON.timestamp())
    assert (time.since_s, time.until_s) == (noon - 607, noon + 53)
    assert time.buckets == list(range(noon - 607, noon + 53, 60))
    assert {"from_us": (noon - 607) * 10**6, "to_us": (noon + 53) * 10**6, "step_s": 60}.items() <= time.parameters.items()
    assert {"from_s": noon - 607, "to_s": noon + 53, "usage": "usage_minute"}.items() <= time.parameters.items()


@pytest.mark.parametrize(("step_s", "grain"), [(30, "raw"), (75, "raw"), (60, "minute"), (900, "minute"), (3600, "hour")])
def test_steps_of_whole_hours_and_minutes_are_read_from_rollups(step_s: int, grain: str) -> None:
    time = TimeRange.of(NOON - timedelta(hours=2), NOON, step_s)
    assert time.grain == grain
    assert time.parameters["spend"] == ("spend_hour" if grain == "hour" else "spend_minute")


@pytest.mark.parametrize(
    ("since", "step_s", "param"),
    [
        (NOON, None, "from"),
        (NOON + timedelta(seconds=1), None, "from"),
        (NOON - timedelta(days=401), None, "from"),
        (NOON - timedelta(seconds=MOST_BUCKETS + 1), 1, "step"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(since: datetime, step_s: int | None, param: str) -> None:
    with pytest.raises(QueryRefusedError) as refused:
        TimeRange.of(since, NOON, step_s)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("param", "text"),
    [
        ("from", "0001-01-01T00:00:00+14:00"),
        ("to", "9999-12-31T23:59:59-14:00"),
        ("to", "9999-12-31T23:59:59"),
        ("from", "1969-12-31T23:59:59Z"),
    ],
)
def test_an_instant_at_the_ends_of_the_calendar_is_refused_by_its_parameter(param: str, text: str) -> None:
    with pytest.raises(QueryRefusedError) as refused:
        as_utc(datetime.fromisoformat(text), param)
    assert refused.value.param == param


def test_an_instant_is_taken_to_utc_from_any_offset_and_without_one() -> None:
    noon = datetime(2026, 3, 14, 12, tzinfo=UTC)
    assert as_utc(datetime.fromisoformat("2026-03-14T14:00:00+02:00"), "from") == noon
    assert as_utc(datetime.fromisoformat("2026-03-14T12:00:00"), "from") == noon
    assert as_utc(datetime.fromisoformat("1970-01-01T00:00:00+14:00"), "from") == datetime(1969, 12, 31, 10, tzinfo=UTC)
    assert as_utc(None, "from") is None
