"""Amounts, durations and windows as people write them. Pure."""

import re
from datetime import UTC, date, datetime, timedelta

from schemas.money import AmountError, format_amount, parse_amount

UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "mo": timedelta(days=30),
    "y": timedelta(days=365),
}
_DURATION = re.compile(r"([1-9]\d{0,6}) ?(s|m|h|d|w|mo|y)", re.ASCII)
_AMOUNT = re.compile(
    r"(?P<before>\$|[A-Z]{3})? ?(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?) ?(?P<after>[A-Z]{3})?", re.ASCII
)
WINDOWS = {
    "total": "total", "ever": "total", "1d": "day", "day": "day", "daily": "day",
    "1mo": "month", "month": "month", "monthly": "month",
}  # fmt: skip


class SpokenError(ValueError):
    """The text is not what was asked for: the message says how to write it."""


def amount(text: str, currency: str | None = None) -> str:
    """A decimal text from `12.50`, `1,200`, `$5` or `5 USD`, exact. A currency in the text has to be the one expected."""
    found = _AMOUNT.fullmatch(text.strip())
    if found is None or (found["before"] and found["after"]):
        raise SpokenError(f"{text!r} is not an amount: write 12.50, 1,200 or 12.50 USD")
    said = "USD" if found["before"] == "$" else found["before"] or found["after"]
    if said and currency and said != currency:
        raise SpokenError(f"{text!r} is not in {currency}: nothing is converted here")
    try:
        return format_amount(parse_amount(found["number"].replace(",", "")))
    except AmountError as error:
        raise SpokenError(str(error)) from None


def currency_in(text: str) -> str | None:
    """The currency that an amount's text names."""
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        return None
    return "USD" if found["before"] == "$" else found["before"] or found["after"]


def signed_amount(text: str, currency: str | None = None) -> str:
    """The same for an amount that may begin with a minus."""
    negative = text.strip().startswith("-")
    return ("-" if negative else "") + amount(text.strip().removeprefix("-").removeprefix("+"), currency)


def seconds(text: str) -> int:
    """Whole seconds of a duration such as `90s`, `15m`, `2h`, `1d`, `1mo`."""
    return int(duration(text).total_seconds())


def duration(text: str) -> timedelta:
    """A duration such as `90s`, `15m`, `2h`, `1d`, `2w`, `1mo` (30 days)."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise SpokenError(f"{text!r} is not a duration: write 30s, 15m, 2h, 1d, 2w or 1mo")
    return int(found[1]) * UNITS[found[2]]


def instant(text: str, now: datetime, *, past: bool = False) -> str:
    """An instant in RFC 3339 from a duration (`30d`: from now on, or ago where `past`), a date or an instant."""
    try:
        if _DURATION.fullmatch(text.strip()):
            length = duration(text)
            return _utc(now - length if past else now + length)
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            day = date.fromisoformat(text)
            return _utc(datetime(day.year, day.month, day.day, tzinfo=UTC))
        if re.match(r"\d{4}-\d\d-\d\d[Tt ]", text):
            found = datetime.fromisoformat(text.upper())
            return _utc(found if found.tzinfo else found.replace(tzinfo=UTC))
    except (OverflowError, ValueError):
        pass
    raise SpokenError(f"{text!r} is no time: write a duration such as 30d, a date such as 2026-03-14, or 2026-03-14T12:00:00Z")


def as_time(text: str) -> str:
    """A duration as it is, which the service counts from its own now; a date or an instant in RFC 3339."""
    if _DURATION.fullmatch(text.strip()):
        duration(text)
        return text.replace(" ", "")
    return instant(text, datetime.now(UTC))


def window(text: str) -> str:
    """`total`, `day` or `month`."""
    found = WINDOWS.get(text.strip().lower().removeprefix("per ").removeprefix("a "))
    if found is None:
        raise SpokenError(f"{text!r} is no window: write total, day or month")
    return found


def _utc(found: datetime) -> str:
    return found.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
