"""What a usage report is asked for: read from the query, checked, with every mistake named. Pure."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.plain_text import RULE, unplain
from services.analytics.errors import QueryRefusedError
from services.analytics.usage_api.periods import HOUR_S, days, shifts

PLAIN = ("account", "project", "key", "run", "model", "upstream_model", "route_type", "channel", "bucket", "tag")
TAG_VALUE = "tag:"
GRAINS = ("none", "day", "hour")
FILTERS = ("project_id", "key_id", "run_id", "model", "upstream_model", "route_type", "channel", "bucket")
MOST_BY = 2
MOST_TAGS = 10
MOST_TEXT = 256
MOST_TAG_NAME = 64
MOST_TAG = MOST_TAG_NAME + len("=") + 256
LONGEST = timedelta(days=400)
BY_DEFAULT = timedelta(days=7)
FIRST_YEAR, LAST_YEAR = 1970, 2200
FOR_OPERATORS = "channels are shown to operators alone"
OTHER_COPIES = ("right/", "posix/")
"""The zones of the database once more, the former with leap seconds, which our instants do not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """From the minute of `since` to before that of `until`, summed by `by` and, where `grain` says so, by day or hour."""

    since: datetime
    until: datetime
    zone: str
    by: tuple[str, ...] = ()
    grain: str = "none"
    filters: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    accounts: frozenset[str] | None = None

    @property
    def with_runs(self) -> bool:
        """Whether rows are needed that know their run."""
        return "run" in self.by or "run_id" in self.filters

    @property
    def of_whole_hours(self) -> bool:
        """Whether hours in UTC suffice to tell its range, its days and its hours."""
        if self.since.minute or self.until.minute:
            return False
        span = (ZoneInfo(self.zone), self.since, self.until)
        if self.grain == "day":
            return all(begin % HOUR_S == 0 for begin in days(*span))
        return self.grain == "none" or not any(shifts(*span).values())


def question(  # noqa: PLR0917 - in the order in which they are read
    since: str | None,
    until: str | None,
    zone: str,
    by: str,
    grain: str,
    filters: Mapping[str, str | None],
    tags: list[str],
    now: datetime,
    *,
    shows_channels: bool = False,
    accounts: frozenset[str] | None = None,
) -> Question:
    """The question that a query asks. Raises :class:`QueryRefusedError`."""
    found = {name: _text(name, value) for name, value in filters.items() if value}
    fields = dimensions(by)
    if not shows_channels and ("channel" in fields or "channel" in found):
        raise QueryRefusedError("by" if "channel" in fields else "channel", FOR_OPERATORS)
    if grain not in GRAINS:
        raise QueryRefusedError("interval", f"`interval` is one of {', '.join(GRAINS)}")
    if len(tags) > MOST_TAGS:
        raise QueryRefusedError("tag", f"at most {MOST_TAGS} tags")
    for account in accounts or ():
        _text("account_id", account)
    begin, end = span(since, until, zone, now)
    return Question(
        since=begin,
        until=end,
        zone=zone,
        by=fields,
        grain=grain,
        filters=found,
        tags=tuple(_text("tag", tag, MOST_TAG) for tag in tags if tag),
        accounts=accounts,
    )


def span(since: str | None, until: str | None, zone: str, now: datetime) -> tuple[datetime, datetime]:
    """Whole minutes in UTC that cover what is asked for: the last seven days if it says nothing."""
    place = _zone(zone)
    end = instant("to", until, place) if until else now
    begin = instant("from", since, place) if since else end - BY_DEFAULT
    return _covering(begin, end)


def span_against(since: str | None, until: str | None, later: Question) -> tuple[datetime, datetime]:
    """With what a question's span is compared: what is named, as long as that if one end is; by default what lies before it."""
    place, length = _zone(later.zone), later.until - later.since
    if until:
        end = instant("against_to", until, place)
        begin = instant("against_from", since, place) if since else end - length
    else:
        begin = instant("against_from", since, place) if since else later.since - length
        end = begin + length
    return _covering(begin, end, "against_")


def dimensions(by: str) -> tuple[str, ...]:
    """By what to sum: at most two. Raises :class:`QueryRefusedError`."""
    fields = tuple(part.strip() for part in by.split(",")) if by.strip() else ()
    for one in fields:
        if one not in PLAIN and not (one.startswith(TAG_VALUE) and _is_tag_name(one.removeprefix(TAG_VALUE))):
            raise QueryRefusedError("by", f"`by` takes {', '.join(PLAIN)} and tag:NAME, separated by commas")
    if len(fields) > MOST_BY or len(set(fields)) < len(fields):
        raise QueryRefusedError("by", f"`by` takes at most {MOST_BY} dimensions, each once")
    return fields


def instant(param: str, text: str, place: ZoneInfo) -> datetime:
    """An instant, or a date: its midnight in the zone. Without an offset it is in the zone too. In UTC."""
    try:
        if len(text) == len("2026-11-26"):
            found = datetime.combine(date.fromisoformat(text), time(), place)
        else:
            found = datetime.fromisoformat(text)
            found = found.replace(tzinfo=place) if found.tzinfo is None else found
    except ValueError as error:
        raise QueryRefusedError(
            param, f"`{param}` is a date or an instant: 2026-11-26 or 2026-11-26T10:00:00Z (a `+` as %2B)"
        ) from error
    if not FIRST_YEAR < found.year < LAST_YEAR:
        raise QueryRefusedError(param, f"`{param}` lies between the years {FIRST_YEAR} and {LAST_YEAR}")
    return found.astimezone(UTC)


def cursor(keys: tuple[str, ...]) -> str:
    """Where a page ends, for `after`."""
    return base64.urlsafe_b64encode(json.dumps(keys).encode()).decode()


def keys_of(after: str) -> tuple[str, str, str]:
    """What :func:`cursor` was given. Raises :class:`QueryRefusedError`."""
    try:
        found: Any = json.loads(base64.b64decode(after, altchars=b"-_", validate=True))
        first, second, third = found
        "".join(found).encode()  # half a surrogate pair is no text
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise _no_cursor() from error
    if not isinstance(found, list) or not all(isinstance(one, str) and "\0" not in one for one in found):
        raise _no_cursor()
    return first, second, third


def _no_cursor() -> QueryRefusedError:
    return QueryRefusedError("after", "`after` takes the next_after of the page before")


def _text(param: str, value: str, most: int = MOST_TEXT) -> str:
    """What a label may be, by the rule of those who take it: a filter has to be able to name whatever is there."""
    if len(value) > most or unplain(value) is not None:
        raise QueryRefusedError(param, f"`{param}` has at most {most} characters and {RULE}")
    return value


def _is_tag_name(name: str) -> bool:
    return 0 < len(name) <= MOST_TAG_NAME and "=" not in name and unplain(name) is None


def _zone(name: str) -> ZoneInfo:
    try:
        if (
            len(name) <= MOST_TEXT
            and name.isascii()
            and name.isprintable()
            and name not in {"", "localtime"}
            and not name.startswith(OTHER_COPIES)
        ):
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise QueryRefusedError("timezone", "`timezone` is a name of the time zone database, such as Europe/Berlin or UTC")


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _covering(begin: datetime, end: datetime, prefix: str = "") -> tuple[datetime, datetime]:
    begin, end = _minute(begin), _minute(end + timedelta(minutes=1) - timedelta(microseconds=1))
    if begin >= end:
        raise QueryRefusedError(f"{prefix}from", f"`{prefix}from` must lie before `{prefix}to`")
    if end - begin > LONGEST:
        raise QueryRefusedError(f"{prefix}from", f"the range is longer than {LONGEST.days} days")
    return begin, end
