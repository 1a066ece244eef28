"""When a key expires, and for how long its former secret goes on after a rotation."""

from datetime import UTC, datetime, timedelta

from services.edge.deadlines import read_duration, read_time
from services.edge.errors import UnprocessableError

LATEST_EXPIRY = datetime(2100, 1, 1, tzinfo=UTC)
LONGEST_OVERLAP = timedelta(days=90)
EXPIRY_PARAM = "expires_at"
OVERLAP_PARAM = "overlap"


def parse_expiry(text: str, now: datetime) -> datetime:
    """The instant of `30d`, `1mo` or `2027-01-01T00:00:00Z`. Raises :class:`UnprocessableError`."""
    instant = read_time(text, now)
    if instant is None:
        raise _invalid(EXPIRY_PARAM, "is neither a duration such as 12h or 30d nor an instant such as 2027-01-01T00:00:00Z")
    if instant <= now:
        raise _invalid(EXPIRY_PARAM, "lies in the past; to end a key at once, revoke it")
    if instant > LATEST_EXPIRY:
        raise _invalid(EXPIRY_PARAM, f"lies after {LATEST_EXPIRY:%Y-%m-%d}; null is never")
    return instant


def parse_overlap(text: str, now: datetime) -> datetime:
    """Until when the former secret works: `24h` from now on, or `0s`: no longer. Raises :class:`UnprocessableError`."""
    overlap = timedelta(0) if text == "0s" else read_duration(text)
    if overlap is None:
        raise _invalid(OVERLAP_PARAM, "is no duration such as 30m, 24h or 7d; 0s ends the former secret at once")
    if overlap > LONGEST_OVERLAP:
        raise _invalid(OVERLAP_PARAM, f"is longer than {LONGEST_OVERLAP.days} days")
    return now + overlap


def _invalid(param: str, what: str) -> UnprocessableError:
    return UnprocessableError("invalid_value", f"'{param}' {what}.", param=param)
