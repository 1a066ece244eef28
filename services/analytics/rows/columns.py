"""Columns of the tables: their ClickHouse type, and which Python values may go into them.

The check is made on whole columns, so that it costs tens of nanoseconds per value and an insert can never fail for
what a record contains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

INT64 = (-(2**63), 2**63 - 1)
UINT64 = (0, 2**64 - 1)
UINT32 = (0, 2**32 - 1)
UINT16 = (0, 2**16 - 1)
UINT128 = (0, 2**128 - 1)
# ClickHouse keeps DateTime64 from 1900 to 2299; a month outside of living memory would open a partition of its own.
INSTANT = (946_684_800_000_000, 7_258_118_400_000_000)

_NONE = type(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column. `types` are the exact Python types that may stand in it; `low` and `high` bound the integers among them."""

    name: str
    clickhouse_type: str
    types: frozenset[type]
    default: Any
    low: int | None = None
    high: int | None = None

    def accepts(self, value: Any) -> bool:
        """Whether one value may stand in the column."""
        return self.accepts_all((value,))

    def accepts_all(self, values: Sequence[Any]) -> bool:
        """Whether every value may stand in the column; as fast as the interpreter allows."""
        kinds = set(map(type, values))
        if not kinds <= self.types:
            return False
        if dict in kinds or list in kinds:
            return all(_only_texts(value) for value in values if value)
        if int not in kinds or self.low is None or self.high is None:
            return True
        numbers = values if kinds == {int} else [value for value in values if value is not None]
        return bool(self.low <= min(numbers) and max(numbers) <= self.high)


def _only_texts(value: dict[Any, Any] | list[Any]) -> bool:
    texts = (*value.keys(), *value.values()) if isinstance(value, dict) else value
    return all(type(text) is str for text in texts)


def text(name: str) -> Column:
    """A text of few repeating values, such as a model or a channel."""
    return Column(name=name, clickhouse_type="LowCardinality(String)", types=frozenset({str}), default="")


def free_text(name: str) -> Column:
    """A text of many values, such as a message or a client's own label."""
    return Column(name=name, clickhouse_type="String", types=frozenset({str}), default="")


def texts(name: str) -> Column:
    """A list of texts."""
    return Column(name=name, clickhouse_type="Array(LowCardinality(String))", types=frozenset({list}), default=[])


def text_map(name: str) -> Column:
    """A map of texts, such as the tags."""
    return Column(name=name, clickhouse_type="Map(LowCardinality(String), String)", types=frozenset({dict}), default={})


def flag(name: str) -> Column:
    """True or false."""
    return Column(name=name, clickhouse_type="Bool", types=frozenset({bool}), default=False)


def _integer(name: str, clickhouse_type: str, bounds: tuple[int, int], *, nullable: bool) -> Column:
    return Column(
        name=name,
        clickhouse_type=f"Nullable({clickhouse_type})" if nullable else clickhouse_type,
        types=frozenset({int, _NONE}) if nullable else frozenset({int}),
        default=None if nullable else 0,
        low=bounds[0],
        high=bounds[1],
    )


def count(name: str, *, nullable: bool = False) -> Column:
    """A number of tokens, bytes or the like, up to 2^64."""
    return _integer(name, "UInt64", UINT64, nullable=nullable)


def small(name: str, *, nullable: bool = False) -> Column:
    """A small number: an HTTP status, an attempt."""
    return _integer(name, "UInt16", UINT16, nullable=nullable)


def version(name: str) -> Column:
    """A version number; 0 where the event has none."""
    return _integer(name, "UInt32", UINT32, nullable=False)


def nano(name: str, *, nullable: bool = True) -> Column:
    """An amount of money in nano of the row's currency; None where the event names none."""
    return _integer(name, "Int64", INT64, nullable=nullable)


def uuid(name: str, *, nullable: bool = True) -> Column:
    """A UUID, as an integer of 128 bits."""
    return _integer(name, "UUID", UINT128, nullable=nullable)


def instant(name: str, *, nullable: bool = False) -> Column:
    """An instant, in microseconds since 1970."""
    return _integer(name, "DateTime64(6, 'UTC')", INSTANT, nullable=nullable)


def number(name: str, *, nullable: bool = False) -> Column:
    """A measured number, such as milliseconds. Never money."""
    kinds = {int, float, _NONE} if nullable else {int, float}
    clickhouse_type = "Nullable(Float64)" if nullable else "Float64"
    return Column(name=name, clickhouse_type=clickhouse_type, types=frozenset(kinds), default=None if nullable else 0.0)


ENVELOPE = (
    uuid("event_id", nullable=False),
    text("type"),
    instant("occurred_at"),
    text("account_id"),
    uuid("request_id"),
    free_text("run_id"),
    text("environment"),
    text_map("tags"),
    small("kafka_partition"),
    count("kafka_offset"),
)
"""The columns that every table begins with."""

KEY = (text("project_id"), text("key_id"), text("key_name"))
"""Which API key asked."""

ROUTE = (text("channel"), text("route_type"), text("brand"), text("upstream_model"))
"""Where an attempt went."""

USAGE = (
    count("input_tokens"),
    count("cached_input_tokens"),
    count("cache_write_tokens"),
    count("output_tokens"),
    count("reasoning_tokens"),
)
"""Tokens, in classes that do not overlap (reasoning is a part of output)."""
