"""How long to wait before a message is tried again. Pure: clock and chance come in."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

BASE_S = 1.0
MESSAGE_CAP_S = 300.0
RECEIVER_CAP_S = 60.0
"""A receiver that failed is tried again within a minute: it may be back."""
GIVE_UP_AFTER = timedelta(hours=24)
"""Nobody needs to be told of an alert of yesterday."""
LONGEST_ASKED_S = 6 * 3600.0
"""A receiver that asks for more patience is asked again after so long."""


def delay_s(failures: int, cap_s: float, draw: float) -> float:
    """Seconds to wait after so many failures in a row: doubling, and half of it by chance. `draw` is uniform in [0, 1)."""
    whole = min(cap_s, BASE_S * 2.0 ** min(max(failures - 1, 0), 30))
    return whole * (0.5 + draw / 2)


def retry_after_s(text: str | None, now: datetime) -> float | None:
    """Seconds of a Retry-After header (a number, or an HTTP date); None where it says nothing of use."""
    if not text:
        return None
    try:
        seconds = float(text) if text.strip().isascii() else -1.0
    except ValueError:
        seconds = _until(text, now)
    return min(seconds, LONGEST_ASKED_S) if seconds >= 0 else None


def _until(text: str, now: datetime) -> float:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return -1.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
