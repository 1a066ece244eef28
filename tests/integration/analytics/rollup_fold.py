"""What the rollups must say, folded from the events' JSON alone: no code of the loader, no SQL."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from clickhouse_connect.driver.client import Client

Json = Mapping[str, Any]
Sums = dict[str, Any]
Dimensions = tuple[Any, ...]
Folded = dict[str, dict[Dimensions, Sums]]
"""Table → dimensions → sums that are not zero."""
USAGE = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
GRAINS_S = {"minute": 60, "hour": 3600}
STEP = math.log(1.05)


def fold(events: Iterable[Json]) -> Folded:
    """Every rollup, each event counted once however often it was written."""
    folded: dict[str, dict[Dimensions, Sums]] = defaultdict(lambda: defaultdict(Sums))
    for event in {event["event_id"]: event for event in events}.values():
        for name, dimensions, sums in _facts(event):
            for grain, seconds in GRAINS_S.items():
                at = int(datetime.fromisoformat(event["occurred_at"]).timestamp()) // seconds * seconds
                _add(folded[f"{name}_{grain}"][at, *dimensions], sums)
    return {table: {key: _without_zeros(sums) for key, sums in rows.items()} for table, rows in folded.items()}


def rollups_of(client: Client) -> Folded:
    """The same, as ClickHouse has it: summed by key, as rows of one key may stand apart."""
    found: Folded = {}
    for name in FACTS:
        for grain in GRAINS_S:
            if rows := dict(_rows(client, f"{name}_{grain}")):
                found[f"{name}_{grain}"] = rows
    return found


def _rows(client: Client, table: str) -> Iterator[tuple[Dimensions, Sums]]:
    columns = client.query(f"DESCRIBE TABLE {table}").result_rows
    sums = [(row[0], "sumMap" if "sumMap" in row[1] else "sum") for row in columns if "(sum" in row[1]]
    dimensions = [row[0] for row in columns if not row[1].startswith("SimpleAggregateFunction")]
    wanted = ", ".join([*dimensions, *(f"{how}({name})" for name, how in sums)])
    for row in client.query(f"SELECT {wanted} FROM {table} GROUP BY {', '.join(dimensions)}").result_rows:
        at, *others = row[: len(dimensions)]
        key = (
            int(at.replace(tzinfo=UTC).timestamp()),
            *(tuple(value) if isinstance(value, list) else value for value in others),
        )
        yield key, _without_zeros(dict(zip([name for name, _ in sums], row[len(dimensions) :], strict=True)))


def _facts(event: Json) -> Iterator[tuple[str, Dimensions, Sums]]:
    for name, facts_of in FACTS.items():
        if (found := facts_of(event, event["data"])) is not None:
            yield name, *found


def _who(event: Json, data: Json) -> Dimensions:
    key = data["key"]
    return event["account_id"], key["project_id"], key["key_id"]


def _tags(event: Json) -> tuple[str, ...]:
    return tuple(sorted(f"{name}={value}" for name, value in event.get("tags", {}).items()))


def _tokens(usage: Json) -> int:
    return sum(usage.get(name, 0) for name in USAGE if name != "reasoning_tokens")


def _hist(value_ms: float | None) -> dict[int, int]:
    return {} if value_ms is None else {round(math.log(max(value_ms, 0.01)) / STEP): 1}


def _usage(event: Json, data: Json) -> tuple[Dimensions, Sums] | None:
    if event["type"] != "RequestCompleted":
        return None
    charged, tries = data.get("charged_attempt"), data["attempts"]
    paid = [one for one in tries if charged is not None and one["attempt"] in {charged, *data.get("also_charged", ())}]
    answer = next((one for one in tries if one["attempt"] == charged), tries[-1] if tries else {})
    usage: Json = answer.get("usage", {}) if charged is not None else {}
    burned = sum(_tokens(one["usage"]) for one in tries) - sum(_tokens(one["usage"]) for one in paid)
    used = burned + _tokens(answer.get("usage", {}))
    place = tuple(answer.get(name, "") for name in ("channel", "route_type", "brand", "upstream_model"))
    money = (data.get("bucket") or "", data.get("currency") or "")
    dimensions = (*_who(event, data), event["environment"], _tags(event), data["requested_model"], *place, *money)
    return (*dimensions, data["outcome"], data["stream"]), {
        "requests": 1,
        "attempts": len(tries),
        "fallbacks": len(data["fallbacks"]),
        **{name: usage.get(name, 0) for name in USAGE},
        "burned_tokens": burned,
        "cost_nano": data.get("cost_nano") or 0,
        "burned_requests": int((data["outcome"] == "failed" and used > 0) or (charged is None and burned > 0)),
        "latency_ms_sum": round(data["latency_ms"]),
        "latency_hist": _hist(data["latency_ms"]),
        "ttft_hist": _hist(data.get("ttft_ms")),
    }


def _attempts(event: Json, data: Json) -> tuple[Dimensions, Sums] | None:
    if event["type"] != "AttemptFinished":
        return None
    one = data["attempt"]
    place = tuple(one[name] for name in ("channel", "route_type", "brand", "upstream_model", "outcome"))
    how = (one.get("error_class") or "", one.get("operator_cost_currency") or "")
    tokens, failed = _tokens(one["usage"]), one["outcome"] == "failed"
    return (*_who(event, data), _tags(event), data["requested_model"], *place, *how), {
        "attempts": 1,
        "failed": int(failed),
        "tokens": tokens,
        "burned_tokens": tokens if failed else 0,
        "operator_cost_nano": one.get("operator_cost_nano") or 0,
        "latency_hist": _hist(one["latency_ms"]),
        "ttft_hist": _hist(one.get("ttft_ms")),
    }


def _fallbacks(event: Json, data: Json) -> tuple[Dimensions, Sums] | None:
    if event["type"] != "FallbackTaken":
        return None
    taken = data["fallback"]
    ways = (taken["from_channel"], taken["to_channel"], taken["reason"], taken.get("crossed_bucket", False))
    return (*_who(event, data), _tags(event), data["requested_model"], *ways), {"fallbacks": 1}


def _rejections(event: Json, data: Json) -> tuple[Dimensions, Sums] | None:
    if event["type"] != "RequestRejected":
        return None
    return (*_who(event, data), _tags(event), data["code"], data["http_status"]), {"requests": 1}


def _spend(event: Json, data: Json) -> tuple[Dimensions, Sums] | None:
    kind = event["type"]
    if kind not in {"Captured", "Expired", "LateUsage"}:
        return None
    held = data["balance"] if kind == "Captured" else data
    place = tuple(data.get(name) or "" for name in ("route_type", "channel", "requested_model", "upstream_model"))
    planned = data.get("planned") or {}
    by = (data.get("price_version") or 0, planned.get("route_type", ""), planned.get("upstream_model", ""))
    dimensions = (*_who(event, data), _tags(event), kind, held.get("bucket", ""), held["currency"], *place, *by)
    charged = data.get("captured_nano", 0) + data.get("overrun_nano", 0) + data.get("charged_nano", 0)
    return dimensions, {
        "charges": int(kind != "LateUsage"),
        "spent_nano": charged,
        "written_off_nano": data["amount_nano"] if kind == "LateUsage" else 0,
        "exposure_nano": data.get("exposure_nano") or 0,
        **{name: data.get("usage", {}).get(name, 0) for name in USAGE},
        "beside_nano": data.get("beside_nano", 0),
    }


FACTS: dict[str, Callable[[Json, Json], tuple[Dimensions, Sums] | None]] = {
    "usage": _usage,
    "attempts": _attempts,
    "fallbacks": _fallbacks,
    "rejections": _rejections,
    "spend": _spend,
}


def _add(into: Sums, more: Sums) -> None:
    for name, value in more.items():
        into[name] = Counter(into.get(name, {})) + Counter(value) if isinstance(value, dict) else into.get(name, 0) + value


def _without_zeros(sums: Sums) -> Sums:
    return {name: dict(value) if isinstance(value, dict) else value for name, value in sums.items() if value}
