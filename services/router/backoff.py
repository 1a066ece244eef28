"""How long to wait before the same channel is asked again, or whether to move on. Pure: clock and chance come in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

RETRY_AFTER_BOUND_S = 1e9
"""A Retry-After of so many seconds or more means nothing."""


class Backoff(NamedTuple):
    """Exponential, with full jitter, in seconds; `retry_after_max_s` is the longest Retry-After that is worth waiting for."""

    base_s: float = 0.1
    cap_s: float = 2.0
    retry_after_max_s: float = 2.0


def delay_s(backoff: Backoff, *, tries: int, retry_after_s: float | None, remaining_s: float, draw: float) -> float | None:
    """Seconds to wait after `tries` (>= 1) failures on a channel, None to move on. `draw` is uniform in [0, 1).

    A Retry-After is waited for in full or not at all; nothing is waited for beyond the request's own deadline.
    """
    if retry_after_s is not None:
        wait = retry_after_s
        if wait > backoff.retry_after_max_s:
            return None
    else:
        wait = draw * min(backoff.cap_s, backoff.base_s * 2 ** min(tries - 1, 30))
    return wait if wait < remaining_s else None


def retry_after_of(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that a reply asks to wait for; OpenAI's `retry-after-ms` says it more finely. None where it does not say."""
    try:
        exact = _bounded(float(headers["retry-after-ms"]) / 1000)
    except (KeyError, ValueError):
        exact = None
    return parse_retry_after(headers.get("retry-after"), now) if exact is None else exact


def parse_retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds in a Retry-After header (a number or an HTTP date); None where it is absent or means nothing."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        return _seconds_until(text, now)
    return _bounded(seconds)


def _seconds_until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return _bounded(max(0.0, (moment - now).total_seconds()))


def _bounded(seconds: float) -> float | None:
    return seconds if 0 <= seconds < RETRY_AFTER_BOUND_S else None
