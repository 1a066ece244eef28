"""Days and hours of time zones: against a walk, minute by minute, over the clocks of every zone."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest

from services.analytics.usage_api.periods import HOUR_S, days, shifts

MINUTE = timedelta(minutes=1)
ODD = [
    ("Australia/Lord_Howe", "2026-04-04T12:00"),  # half an hour back
    ("Australia/Lord_Howe", "2026-10-03T12:00"),  # and forward
    ("Europe/Berlin", "2026-03-28T12:00"),
    ("Europe/Berlin", "2026-10-24T12:00"),
    ("Africa/Cairo", "2026-10-29T12:00"),  # at midnight, back into the day before
    ("America/Santiago", "2026-09-05T12:00"),  # at midnight, which is left out
    ("America/Havana", "2026-10-31T12:00"),  # a day that has two midnights
    ("Antarctica/Troll", "2026-03-28T12:00"),  # two hours
    ("Asia/Kathmandu", "2026-11-20T12:00"),
    ("Pacific/Apia", "2011-12-29T12:00"),  # a day that is left out
]


def span(begin: str) -> tuple[datetime, datetime]:
    """Two days from an instant."""
    since = datetime.fromisoformat(begin).replace(tzinfo=UTC)
    return since, since + timedelta(days=2)


def minutes(since: datetime, until: datetime) -> list[datetime]:
    """Every minute of a span."""
    return [since + MINUTE * number for number in range((until - since) // MINUTE)]


def begun(found: dict[int, date] | dict[int, int], at: datetime) -> int:
    """The last key that is not after the instant, as ClickHouse's roundDown finds it."""
    return max((key for key in found if key <= at.timestamp()), default=min(found))


@pytest.mark.parametrize(("zone", "begin"), ODD)
def test_every_minute_is_in_the_day_that_its_clocks_show(zone: str, begin: str) -> None:
    since, until = span(begin)
    place = ZoneInfo(zone)
    found = days(place, since, until)
    assert list(found) == sorted(found)
    for at in minutes(since, until):
        assert found[begun(found, at)] == at.astimezone(place).date(), at


@pytest.mark.parametrize(("zone", "begin"), ODD)
def test_every_minute_has_the_shift_that_its_clocks_show(zone: str, begin: str) -> None:
    since, until = span(begin)
    place = ZoneInfo(zone)
    found = shifts(place, since, until)
    assert list(found) == sorted(found)
    for at in minutes(since, until):
        assert found[begun(found, at)] // 60 % 60 == (at.astimezone(place).minute - at.minute) % 60, at


def test_days_are_23_or_25_hours_long_when_the_clocks_change() -> None:
    lengths = {}
    for begin in ("2026-03-29", "2026-10-25", "2026-11-01"):
        place = ZoneInfo("Europe/Berlin")
        since = datetime.fromisoformat(begin).replace(tzinfo=place).astimezone(UTC)
        first, second, *_ = days(place, since, since + timedelta(hours=30))
        lengths[begin] = (second - first) // HOUR_S
    assert lengths == {"2026-03-29": 23, "2026-10-25": 25, "2026-11-01": 24}


def test_zones_have_few_shifts_and_each_day_of_400_once() -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    until = since + timedelta(days=400)
    for zone in sorted(available_timezones())[::4]:
        place = ZoneInfo(zone)
        assert len(shifts(place, since, until)) <= 4, zone
        found = list(days(place, since, until).values())
        assert len(set(found)) == len(found), zone
        assert 400 <= len(found) <= 402, zone
