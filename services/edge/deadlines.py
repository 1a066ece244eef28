"""When a run ends: given as a duration from now or as an instant."""

import re
from datetime import UTC, datetime, timedelta

from schemas.runs import LONGEST_RUN
from services.edge.errors import InvalidRequestError

PARAM = "deadline"
UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "mo": timedelta(days=30),
}
_DURATION = re.compile(r"([1-9]\d{0,8})(s|m|h|d|w|mo)", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def parse_deadline(text: str, now: datetime) -> datetime:
    """The instant of a deadline such as `45m`, `1d` or `2026-03-14T12:00:00Z`. Raises :class:`InvalidRequestError`."""
    deadline = read_time(text, now)
    if deadline is None:
        raise _invalid("is neither a duration such as 45m, 12h or 1d nor an instant such as 2026-03-14T12:00:00Z")
    if deadline <= now:
        raise _invalid("lies in the past")
    if deadline - now > LONGEST_RUN:
        raise _invalid(f"is more than {LONGEST_RUN.days} days away")
    return deadline


def read_duration(text: str) -> timedelta | None:
    """A duration such as `45m` or `30d`, None where it is none or too long to be one."""
    duration = _DURATION.fullmatch(text)
    try:
        return None if duration is None else int(duration[1]) * UNITS[duration[2]]
    except OverflowError:
        return None


def read_time(text: str, now: datetime) -> datetime | None:
    """The instant of a duration from now on or of a text in RFC 3339, None where it is neither."""
    try:
        if (duration := read_duration(text)) is not None:
            return now + duration
        if _INSTANT.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (OverflowError, ValueError):
        pass
    return None


def _invalid(what: str) -> InvalidRequestError:
    return InvalidRequestError("invalid_deadline", f"'{PARAM}' {what}.", param=PARAM)
