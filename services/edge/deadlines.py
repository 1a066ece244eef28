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
    deadline = _read(text, now)
    if deadline <= now:
        raise _invalid("lies in the past")
    if deadline - now > LONGEST_RUN:
        raise _invalid(f"is more than {LONGEST_RUN.days} days away")
    return deadline


def _read(text: str, now: datetime) -> datetime:
    duration = _DURATION.fullmatch(text)
    try:
        if duration is not None:
            return now + int(duration[1]) * UNITS[duration[2]]
        if _INSTANT.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (OverflowError, ValueError):
        pass
    raise _invalid("is neither a duration such as 45m, 12h or 1d nor an instant such as 2026-03-14T12:00:00Z")


def _invalid(what: str) -> InvalidRequestError:
    return InvalidRequestError("invalid_deadline", f"'{PARAM}' {what}.", param=PARAM)
