"""What rollups tell of the four weeks before an hour, and the baselines that follow. One query each."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.analytics.signals.baseline import HISTORY_H, WEEK_H, Baseline, baseline_at, rate_baseline_at
from services.analytics.signals.excused import EXCUSED
from services.analytics.signals.mix import MixBaseline, mix_baseline_at
from services.analytics.sqlfile import queries
from services.analytics.warehouse import Warehouse

SQL = "signals.sql"
Rows = list[dict[str, Any]]
Route = tuple[str, str, str, str]
"""Account, model, route type, currency."""


@dataclass(frozen=True, slots=True)
class Usuals:
    """What is usual in one hour, of every subject of which enough is known."""

    hour: int = 0
    keys: Mapping[str, Baseline] = field(default_factory=dict)
    errors: Mapping[str, Baseline] = field(default_factory=dict)
    burned: Mapping[str, Baseline] = field(default_factory=dict)
    fallbacks: Mapping[str, Baseline] = field(default_factory=dict)
    spend: Mapping[Route, Baseline] = field(default_factory=dict)
    mixes: Mapping[str, MixBaseline] = field(default_factory=dict)


def _known(found: Mapping[Any, Any]) -> dict[Any, Any]:
    return {subject: baseline for subject, baseline in found.items() if baseline is not None}


async def usuals_at(warehouse: Warehouse, hour: int) -> Usuals:
    """The baselines of an hour, from rollups. Raises WarehouseAwayError."""
    channels = await _hours(warehouse, "channel_hours", hour, WEEK_H, excused=list(EXCUSED))
    models = await _hours(warehouse, "model_hours", hour, WEEK_H)
    keys = await _hours(warehouse, "key_hours", hour, HISTORY_H)
    spend = await _hours(warehouse, "spend_hours", hour, HISTORY_H)
    mixes = await _hours(warehouse, "mix_hours", hour, WEEK_H)
    # In a thread: of ten thousand keys it takes seconds, in which verdicts come and messages go.
    return await asyncio.to_thread(_usuals, hour, channels=channels, models=models, keys=keys, spend=spend, mixes=mixes)


def _usuals(hour: int, *, channels: Rows, models: Rows, keys: Rows, spend: Rows, mixes: Rows) -> Usuals:
    return Usuals(
        hour=hour,
        keys=_known({row["subject"]: baseline_at(dict(row["hours"]), hour) for row in keys}),
        errors=_known({row["subject"]: rate_baseline_at(_errors(row["hours"]), hour) for row in channels}),
        burned=_known({row["subject"]: rate_baseline_at(_burned(row["hours"]), hour) for row in channels}),
        fallbacks=_known({row["subject"]: rate_baseline_at(_fallbacks(row["hours"]), hour) for row in models}),
        spend=_known({route_of(row): baseline_at(dict(row["hours"]), hour) for row in spend}),
        mixes=_known({row["account_id"]: mix_baseline_at(_mixes(row["hours"]), hour) for row in mixes}),
    )


async def _hours(warehouse: Warehouse, name: str, hour: int, back_h: int, **parameters: Any) -> Rows:
    asked = {"from_s": (hour - back_h) * 3600, "to_s": hour * 3600, **parameters}
    return await warehouse.rows(queries(SQL)[name], asked)


def route_of(row: Mapping[str, Any]) -> Route:
    """Which route a row is about."""
    return (row["account_id"], row["requested_model"], row["route_type"], row["currency"])


def _errors(hours: list[tuple[int, int, int, int, int]]) -> dict[int, tuple[float, float]]:
    return {hour: (failed, attempts) for hour, attempts, failed, _, _ in hours}


def _burned(hours: list[tuple[int, int, int, int, int]]) -> dict[int, tuple[float, float]]:
    """The share of burned tokens of each hour, weighed by its attempts."""
    return {hour: (burned / tokens * attempts, attempts) for hour, attempts, _, tokens, burned in hours if tokens}


def _fallbacks(hours: list[tuple[int, int, int]]) -> dict[int, tuple[float, float]]:
    return {hour: (min(fallbacks, requests), requests) for hour, requests, fallbacks in hours}


def _mixes(hours: list[tuple[int, str, int]]) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    for hour, place, requests in hours:
        found.setdefault(hour, {})[place] = requests
    return found
