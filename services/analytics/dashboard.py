"""What the dashboard shows, from rows of its queries. Pure: amounts stay integers, and no two currencies are ever added."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from schemas.money import format_amount
from services.analytics.timerange import TimeRange

Row = Mapping[str, Any]
Series = list[dict[str, Any]]
OUTCOMES = ("succeeded", "failed", "cancelled", "rejected")
TOKEN_CLASSES = ("input", "cached_input", "cache_write", "output", "burned")
QUANTILES = ("p50", "p99")
MOST_SERIES = 8
OTHERS = "others"


def dense(points: Iterable[tuple[str, int, Any]], buckets: Sequence[int], empty: Any = 0) -> dict[str, list[Any]]:
    """(series, bucket, value) as one list of values per series, `empty` where a bucket has none."""
    position = {bucket: number for number, bucket in enumerate(buckets)}
    found: dict[str, list[Any]] = {}
    for name, bucket, value in points:
        values = found.setdefault(name, [empty] * len(buckets))
        if bucket in position:
            values[position[bucket]] = value
    return found


def requests_over_time(rows: Iterable[Row], time: TimeRange) -> Series:
    """Requests per step and outcome; every outcome is there, so that its colour stays."""
    found = dense(((row["outcome"], row["bucket"], row["requests"]) for row in rows), time.buckets)
    return [{"name": name, "values": found.get(name, [0] * len(time.buckets))} for name in OUTCOMES]


def tokens_over_time(rows: Sequence[Row], time: TimeRange) -> Series:
    """Tokens per step and class."""
    return [
        {
            "name": name,
            "values": dense(((name, row["bucket"], row[name]) for row in rows), time.buckets).get(
                name, [0] * len(time.buckets)
            ),
        }
        for name in TOKEN_CLASSES
    ]


def spend_over_time(rows: Sequence[Row], time: TimeRange) -> list[dict[str, Any]]:
    """Spend per step, one chart per currency with one series per route type and bucket; values are decimal texts."""
    charts = []
    for currency in sorted({row["currency"] for row in rows}):
        own = [row for row in rows if row["currency"] == currency]
        found = dense(((_route_name(row), row["bucket"], row["spent_nano"]) for row in own), time.buckets)
        series = [{"name": name, "values": [format_amount(nano) for nano in found[name]]} for name in sorted(found)]
        charts.append({"currency": currency, "series": series})
    return charts


def spend_by_route(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Spend of the whole range per currency, bucket and route type, largest first within a currency."""
    totals: dict[tuple[str, str, str], list[int]] = {}
    for row in rows:
        entry = totals.setdefault((row["currency"], row["wallet"], row["route"]), [0, 0])
        entry[0] += row["spent_nano"]
        entry[1] += row["charges"]
    ordered = sorted(totals.items(), key=lambda item: (item[0][0], -item[1][0], item[0]))
    return [
        {"currency": currency, "bucket": bucket, "route_type": route, **_amount(nano), "charges": charges}
        for (currency, bucket, route), (nano, charges) in ordered
    ]


def fallbacks_over_time(rows: Sequence[Row], time: TimeRange) -> Series:
    """Fallbacks per step and pair of channels: the most frequent pairs, and all others as one."""
    found = dense(
        ((f"{row['from_channel']} → {row['to_channel']}", row["bucket"], row["fallbacks"]) for row in rows), time.buckets
    )
    ordered = sorted(found, key=lambda name: (-sum(found[name]), name))
    series = [{"name": name, "values": found[name]} for name in ordered[:MOST_SERIES]]
    if rest := ordered[MOST_SERIES:]:
        series.append({"name": OTHERS, "values": [sum(values) for values in zip(*(found[name] for name in rest), strict=True)]})
    return series


def quantiles_over_time(rows: Sequence[Row], measure: str, time: TimeRange) -> Series:
    """p50 and p99 of `latency` or `ttft` per step in ms; None where nothing succeeded."""
    return [
        {
            "name": quantile,
            "values": dense(
                ((quantile, row["bucket"], row[f"{measure}_{quantile}"]) for row in rows), time.buckets, empty=None
            ).get(quantile, [None] * len(time.buckets)),
        }
        for quantile in QUANTILES
    ]


def errors_by_channel(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Attempts per channel, how many failed and why; the channel with most failures first."""
    channels: dict[str, dict[str, Any]] = {}
    for row in rows:
        entry = channels.setdefault(row["channel"], {"channel": row["channel"], "attempts": 0, "failed": 0, "by_class": {}})
        entry["attempts"] += row["attempts"]
        if row["outcome"] != "succeeded":
            reason = row["error_class"] or row["outcome"]
            entry["failed"] += row["attempts"]
            entry["by_class"][reason] = entry["by_class"].get(reason, 0) + row["attempts"]
    return sorted(channels.values(), key=lambda entry: (-entry["failed"], entry["channel"]))


def top_keys(rows: Iterable[Row], spend: Iterable[Row]) -> list[dict[str, Any]]:
    """The keys that used most tokens, each with what it spent per currency."""
    spent: dict[str, list[dict[str, Any]]] = {}
    for row in spend:
        spent.setdefault(row["key_id"], []).append({"currency": row["currency"], **_amount(row["spent_nano"])})
    return [{**row, "spend": spent.get(row["key_id"], [])} for row in rows]


def spend_by_model(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """What each model that was asked for cost, by the model that answered, currency and bucket; largest first."""
    return [
        {
            "model": row["model"],
            "upstream_model": row["upstream_model"],
            "currency": row["currency"],
            "bucket": row["wallet"],
            "charges": row["charges"],
            **_amount(row["spent_nano"]),
        }
        for row in rows
    ]


def totals(requests: Series, tokens: Series, fallbacks: Series) -> dict[str, Any]:
    """Sums over the whole range of what the charts show."""
    return {
        "requests": {series["name"]: sum(series["values"]) for series in requests},
        "tokens": {series["name"]: sum(series["values"]) for series in tokens},
        "fallbacks": sum(sum(series["values"]) for series in fallbacks),
    }


def _route_name(row: Row) -> str:
    return f"{row['route']} · {row['wallet']}"


def _amount(nano: int) -> dict[str, Any]:
    return {"amount_nano": nano, "amount": format_amount(nano)}
