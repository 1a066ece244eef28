"""What became of one attempt to send a message, and what that means. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.analytics.delivery.backoff import retry_after_s
from services.analytics.delivery.wording import clean

TRY_AGAIN = frozenset({408, 425, 429})
"""The only statuses of the 400s that can pass by themselves."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The receiver has it."""

    status: int | None = None
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """It may have it or not: try again, after `after_s` seconds where the receiver said so."""

    reason: str
    status: int | None = None
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class GivenUp:
    """It will never take this message: a person has to look."""

    reason: str
    status: int | None = None


Outcome = Sent | Later | GivenUp


def of_reply(status: int, headers: Mapping[str, str], body: str, now: datetime) -> Outcome:
    """What a reply over HTTP means."""
    if 200 <= status < 300:
        return Sent(status)
    said = clean(body)
    reason = f"HTTP {status}: {said}" if said else f"HTTP {status}"
    if 300 <= status < 400:
        return GivenUp(
            f"HTTP {status}: it sends elsewhere, which is not followed: give the final address in the rule file", status
        )
    if status in TRY_AGAIN or status >= 500:
        return Later(reason, status, retry_after_s(headers.get("retry-after"), now))
    return GivenUp(reason, status)
