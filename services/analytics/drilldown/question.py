"""Which requests are asked for: the filters of a list, checked, and the place where its page begins. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from services.analytics.errors import QueryRefusedError
from services.analytics.rows.fields import EPOCH

OUTCOMES = ("succeeded", "failed", "cancelled", "rejected")
LONGEST = timedelta(days=400)
RESOLUTION = timedelta(microseconds=1)
LONGEST_REQUEST_HOURS = 1
"""A request ends at most so long after one of its upstream calls."""
MOST_DIGITS = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which requests; empty means all. `failed_on` and the steps look at upstream calls, the rest at the request's end."""

    accounts: frozenset[str] | None = None
    project_id: str = ""
    key_id: str = ""
    run_id: str = ""
    tag: str = ""
    model: str = ""
    channel: str = ""
    outcomes: tuple[str, ...] = ()
    error: str = ""
    fallbacks: bool = False
    burned: bool = False
    failed_on: str = ""
    fell_from: str = ""
    fell_to: str = ""

    def __post_init__(self) -> None:
        """Raises QueryRefusedError where filters do not go together."""
        of_end = bool(self.channel or self.outcomes or self.fallbacks or self.burned)
        for name, given in (("failed_on", self.failed_on), ("fell_from", self.fell_from or self.fell_to)):
            if given and of_end:
                raise QueryRefusedError(name, f"`{name}` does not go with `channel`, `outcome`, `fallbacks` or `burned`")
        if self.failed_on and (self.fell_from or self.fell_to):
            raise QueryRefusedError("failed_on", "`failed_on` does not go with `fell_from` or `fell_to`")

    @property
    def by(self) -> str:
        """The query that finds the page: by requests' ends, by upstream calls that failed, or by steps between channels."""
        return "failures" if self.failed_on else "steps" if self.fell_from or self.fell_to else "ended"

    @property
    def may_be_rejected(self) -> bool:
        """Whether a request that was refused before anything was tried can be among them."""
        wanted = not self.outcomes or "rejected" in self.outcomes
        return wanted and not (self.channel or self.fallbacks or self.burned)

    @property
    def parameters(self) -> dict[str, Any]:
        """As the queries take them."""
        words = ("project_id", "key_id", "run_id", "tag", "model", "channel", "error")
        return {name: getattr(self, name) for name in words} | {
            "everyone": int(self.accounts is None),
            "accounts": sorted(self.accounts or ()),
            "outcomes": list(self.outcomes),
            "fallbacks": int(self.fallbacks),
            "burned": int(self.burned),
            "rejections": int(self.may_be_rejected),
            "from_channel": self.failed_on or self.fell_from,
            "to_channel": self.fell_to,
        }


@dataclass(frozen=True, slots=True)
class Place:
    """The last row of a page: the next begins behind it."""

    at_us: int
    event_id: UUID

    @classmethod
    def read(cls, text: str) -> "Place":
        """From the `next_after` of the page before. Raises QueryRefusedError."""
        micros, _, event_id = text.partition("/")
        fault = QueryRefusedError("after", "`after` must be the `next_after` of the page before")
        if not (micros.isascii() and micros.isdigit() and len(micros) <= MOST_DIGITS):
            raise fault
        try:
            return cls(int(micros), UUID(event_id))
        except ValueError:
            raise fault from None

    def __str__(self) -> str:
        return f"{self.at_us}/{self.event_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One page: requests that ended from `since` to before `until`, behind `after`, at most `limit`."""

    since: datetime
    until: datetime
    only: Filter
    after: Place | None = None
    limit: int = 50

    def __post_init__(self) -> None:
        """Raises QueryRefusedError for an impossible range."""
        if self.since >= self.until:
            raise QueryRefusedError("from", "`from` must lie before `to`")
        if self.until - self.since > LONGEST:
            raise QueryRefusedError("from", f"the range is longer than {LONGEST.days} days")

    @property
    def parameters(self) -> dict[str, Any]:
        """As the queries take them. One row more than a page is asked for: it tells whether there is another page."""
        until_us = micros(self.until)
        place = self.after or Place(0, UUID(int=0))
        return self.only.parameters | {
            "from_us": micros(self.since),
            "to_us": min(until_us, place.at_us + 1) if self.after else until_us,
            "first": int(self.after is None),
            "after_us": place.at_us,
            "after_id": str(place.event_id),
            "limit": self.limit + 1,
        }

    def behind(self, place: Place) -> "Question":
        """The page behind a place."""
        return replace(self, after=place)


def micros(instant: datetime) -> int:
    """Microseconds since 1970; ClickHouse's instants come without an offset and are in UTC."""
    known = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
    return (known - EPOCH) // RESOLUTION


def hours_of(instants: Sequence[datetime]) -> list[str]:
    """The hours, as ClickHouse reads them, in which requests ended whose upstream calls ended at the instants, in UTC."""
    starts = {instant.replace(minute=0, second=0, microsecond=0) for instant in instants}
    hours = {start + timedelta(hours=n) for start in starts for n in range(LONGEST_REQUEST_HOURS + 1)}
    return [f"{hour:%Y-%m-%d %H:%M:%S}" for hour in sorted(hours)]
