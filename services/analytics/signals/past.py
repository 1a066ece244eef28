"""What happened minute by minute, and hour by hour before: what a rule file is tried on. One query each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.analytics.errors import QueryRefusedError
from services.analytics.signals.baseline import HISTORY_H
from services.analytics.signals.excused import EXCUSED
from services.analytics.signals.history import Route, route_of
from services.analytics.sqlfile import queries
from services.analytics.warehouse import Warehouse

SQL = "signals.sql"
MOST_MINUTES = 1_500_000
"""Of all subjects together: what fits in memory and is judged in a minute or two."""
Minutes = dict[int, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Track:
    """One subject: its minutes, the hours that its baselines come from, and whose it is."""

    minutes: Minutes
    hours: Mapping[int, Any]
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Past:
    """Subjects by their names. `begin` and `end` are minutes since 1970."""

    begin: int
    end: int
    keys: dict[str, Track]
    channels: dict[str, Track]
    models: dict[str, Track]
    routes: dict[Route, Track]
    accounts: dict[str, Track]

    @property
    def size(self) -> int:
        """Minutes of all subjects."""
        groups: tuple[Mapping[Any, Track], ...] = (self.keys, self.channels, self.models, self.routes, self.accounts)
        return sum(len(track.minutes) for group in groups for track in group.values())


async def past_of(warehouse: Warehouse, begin_s: int, end_s: int) -> Past:
    """Everything between two instants. Raises QueryRefusedError where it is too much."""
    reader = _Reader(warehouse, begin_s, end_s)
    names = ("attempts", "failed", "tokens", "burned_attempts", "burned_tokens")
    channels = await reader.tracks("channel", ("subject",), names, excused=list(EXCUSED))
    found = Past(
        begin=begin_s // 60,
        end=end_s // 60,
        keys={key[0]: track for key, track in (await reader.tracks("key", ("subject",), ("tokens",))).items()},
        channels={key[0]: track for key, track in channels.items()},
        models={
            key[0]: track for key, track in (await reader.tracks("model", ("subject",), ("requests", "fallbacks"))).items()
        },
        routes={route_of(track.row): track for track in (await reader.tracks("spend", ROUTE, ("spent",))).values()},
        accounts={key[0]: track for key, track in (await reader.tracks("mix", ("account_id",), None)).items()},
    )
    if found.size > MOST_MINUTES:
        raise QueryRefusedError("from", f"there are {found.size:,} minutes of subjects to judge: choose a shorter time")
    return found


ROUTE = ("account_id", "requested_model", "route_type", "currency")


class _Reader:
    def __init__(self, warehouse: Warehouse, begin_s: int, end_s: int) -> None:
        self._warehouse = warehouse
        self._begin_s = begin_s
        self._end_s = end_s

    async def tracks(
        self, name: str, named_by: tuple[str, ...], fields: tuple[str, ...] | None, **parameters: Any
    ) -> dict[tuple[str, ...], Track]:
        """Subjects with their minutes and hours; without `fields` each count has a name of its own."""
        asked = {"from_s": self._begin_s, "to_s": self._end_s, **parameters}
        rows = await self._warehouse.rows(queries(SQL)[f"{name}_minutes"], asked)
        before = asked | {"from_s": (self._begin_s // 3600 - HISTORY_H) * 3600, "to_s": self._end_s}
        hours = {
            tuple(row[each] for each in named_by): row["hours"]
            for row in await self._warehouse.rows(queries(SQL)[f"{name}_hours"], before)
        }
        found = {}
        for row in rows:
            place = tuple(row[each] for each in named_by)
            minutes = _by_name(row.pop("minutes")) if fields is None else _by_field(row.pop("minutes"), fields)
            kept = hours.get(place, [])
            found[place] = Track(minutes, _by_name(kept) if fields is None else _values(kept), row)
        return found


def _by_field(minutes: Iterable[tuple[int, ...]], fields: tuple[str, ...]) -> Minutes:
    return {minute: dict(zip(fields, map(int, values), strict=True)) for minute, *values in minutes}


def _by_name(counted: Iterable[tuple[int, str, int]]) -> Minutes:
    found: Minutes = {}
    for at, name, count in counted:
        found.setdefault(int(at), {})[name] = int(count)
    return found


def _values(hours: Iterable[tuple[int, ...]]) -> dict[int, Any]:
    """Hour → its value, or its values where there are several."""
    return {int(hour): values[0] if len(values) == 1 else tuple(values) for hour, *values in hours}
