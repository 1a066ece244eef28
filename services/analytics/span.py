"""From the first instant of some rows to the last, both inclusive. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Span:
    """Microseconds since 1970."""

    first_us: int
    last_us: int

    @classmethod
    def of(cls, instants: Iterable[int]) -> "Span":
        """The span of some instants; there must be one."""
        known = list(instants)
        return cls(min(known), max(known))

    @property
    def parameters(self) -> dict[str, int]:
        """As queries take it."""
        return {"first_us": self.first_us, "last_us": self.last_us}

    def months(self) -> "Iterator[tuple[int, Span]]":
        """Its calendar months (YYYYMM, in UTC), each with the part of the span that lies in it."""
        begin = self.first_us
        while begin <= self.last_us:
            month, end = month_of(begin), _next_month_us(begin)
            yield month, Span(begin, min(end - 1, self.last_us))
            begin = end


def month_of(instant_us: int) -> int:
    """YYYYMM, as ClickHouse's toYYYYMM gives it."""
    at = _utc(instant_us)
    return at.year * 100 + at.month


def _next_month_us(instant_us: int) -> int:
    at = _utc(instant_us)
    following = datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC)
    return int(following.timestamp()) * 1_000_000


def _utc(instant_us: int) -> datetime:
    return datetime.fromtimestamp(instant_us // 1_000_000, UTC)
