"""Where days and hours begin in a time zone, found here rather than in ClickHouse. Pure.

ClickHouse carries its own copy of the time zone database. Where a country has just changed its clocks the two copies differ,
and a report's range, found here, would end on another day than its rows. It also counts hours on from one that a clock
change of half an hour cut short. So the statement is told where each period begins, and knows no zone.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

HOUR_S = 3_600
DAY = timedelta(days=1)


def days(place: ZoneInfo, since: datetime, until: datetime) -> dict[int, date]:
    """The days that have a part in the range, by the second since 1970 in which each begins, in their order.

    A day that a country left out is not among them: its beginning is that of the day after it.
    """
    first, last = since.astimezone(place).date(), (until - timedelta(microseconds=1)).astimezone(place).date()
    named = (first + DAY * number for number in range((last - first).days + 1))
    begins = (int(datetime.combine(day, time(), place).timestamp()) for day in named)
    return {begin: datetime.fromtimestamp(begin, UTC).astimezone(place).date() for begin in begins}


def shifts(place: ZoneInfo, since: datetime, until: datetime) -> dict[int, int]:
    """How many seconds past the full hour of UTC the zone's clocks show, by the second since 1970 from which they do.

    One entry, 0, in most zones; half an hour in India. The first holds from the beginning of the range, and before.
    """
    found, at = {0: _past(place, since)}, since
    while at < until:
        after = min(at + DAY, until)
        if _past(place, at) != _past(place, after):
            change = _change(place, at, after)
            found[int(change.timestamp())] = _past(place, change)
        at = after
    return found


def _change(place: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The minute of the change between two instants of which only the later knows it."""
    old = _past(place, before)
    low, high = 0, int((after - before).total_seconds()) // 60
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _past(place, before + timedelta(minutes=middle)) == old else (low, middle)
    return before + timedelta(minutes=high)


def _past(place: ZoneInfo, at: datetime) -> int:
    offset = at.astimezone(place).utcoffset() or timedelta()
    return int(offset.total_seconds()) % HOUR_S
