"""A table: its columns, and the function of each event type that fills them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.analytics.rows.columns import ENVELOPE, Column
from services.analytics.rows.fields import micros, optional_uuid, text_of, uuid_number

Event = Mapping[str, Any]
"""An event's JSON as Python values: the envelope, with its `data`."""
Values = dict[str, Any]
"""Column name → value, of the columns that an event type fills; all others keep their default."""
Filler = Callable[[Event, Any], Values]
"""(event, its data) → values. Raises KeyError, TypeError, ValueError or AttributeError for an event that does not fit."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """One ClickHouse table of one topic. `fillers` names the event types that it takes."""

    name: str
    topic: str
    own_columns: tuple[Column, ...]
    fillers: Mapping[str, Filler]
    columns: tuple[Column, ...] = field(init=False)
    names: tuple[str, ...] = field(init=False)
    _defaults: Values = field(init=False)

    def __post_init__(self) -> None:
        columns = ENVELOPE + self.own_columns
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "names", tuple(column.name for column in columns))
        object.__setattr__(self, "_defaults", {column.name: column.default for column in columns})

    def row(self, event: Event, partition: int, offset: int) -> tuple[Any, ...]:
        """The event's row, in the order of `columns`. Raises as :data:`Filler` says; values are not checked yet."""
        kind = event["type"]
        values = {
            **self._defaults,
            "event_id": uuid_number(event["event_id"]),
            "type": kind,
            "occurred_at": micros(event["occurred_at"]),
            "account_id": event["account_id"],
            "request_id": optional_uuid(event.get("request_id")),
            "run_id": text_of(event.get("run_id")),
            "environment": event.get("environment", "default"),
            "tags": event.get("tags", {}),
            "kafka_partition": partition,
            "kafka_offset": offset,
            **self.fillers[kind](event, event["data"]),
        }
        return tuple(values.values())


def key_values(key: Mapping[str, Any]) -> Values:
    """The columns of :data:`services.analytics.rows.columns.KEY`."""
    return {"project_id": key["project_id"], "key_id": key["key_id"], "key_name": key.get("key_name", "")}


def route_values(place: Mapping[str, Any]) -> Values:
    """The columns of :data:`services.analytics.rows.columns.ROUTE`."""
    return {
        "channel": place["channel"],
        "route_type": place["route_type"],
        "brand": place["brand"],
        "upstream_model": place["upstream_model"],
    }


def usage_values(usage: Mapping[str, Any]) -> Values:
    """The columns of :data:`services.analytics.rows.columns.USAGE`."""
    return {
        "input_tokens": usage.get("input_tokens", 0),
        "cached_input_tokens": usage.get("cached_input_tokens", 0),
        "cache_write_tokens": usage.get("cache_write_tokens", 0),
        "output_tokens": usage.get("output_tokens", 0),
        "reasoning_tokens": usage.get("reasoning_tokens", 0),
    }


def total_tokens(usage: Mapping[str, Any]) -> int:
    """Every token of an attempt, each counted once. Raises TypeError where one is not a number."""
    total: int = (
        usage.get("input_tokens", 0)
        + usage.get("cached_input_tokens", 0)
        + usage.get("cache_write_tokens", 0)
        + usage.get("output_tokens", 0)
    )
    return total
