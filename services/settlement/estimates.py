"""What a planned job would cost by route type, low and high, and whether it can be paid. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.money import INT64_MAX, Prices, Usage, charge_nano, format_amount, hold_nano
from schemas.runs import EstimateAsk, EstimateItem
from services.settlement.errors import InvalidError
from services.settlement.pricebook import Bucket, PriceBook
from services.settlement.runs import LimitLeft

Row = dict[str, Any]
SHARE_UNIT = 1_000_000


@dataclass(slots=True)
class RouteSum:
    """What a job would cost on one route type."""

    bucket: Bucket
    low_nano: int = 0
    high_nano: int = 0
    hold_nano: int = 0
    items: list[Row] = field(default_factory=list)
    unpriced: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Means:
    """What a bucket has free, and what limits around it leave. `run_left_nano` replaces the bucket where a run pays."""

    free_nano: int
    limits: tuple[LimitLeft, ...]
    source: str = "bucket"


def estimate(asked: EstimateAsk, book: PriceBook, means: Mapping[str, Means]) -> Row:
    """The estimate, one entry per route type that serves any of the models. `means` by bucket.

    Raises InvalidError for a job that costs more than any balance can be.
    """
    sums = _sums(asked, book)
    if any(summed.high_nano > INT64_MAX for summed in sums.values()):
        raise InvalidError("the job costs more than any balance can be: ask for less", code="invalid_amount", param="items")
    routes = [_route(route_type, summed, means.get(summed.bucket.id, Means(0, ()))) for route_type, summed in sums.items()]
    return {
        "object": "estimate",
        "price_version": book.version,
        "routes": routes,
        "explanation": [_sentence(each) for each in routes],
    }


def _sums(asked: EstimateAsk, book: PriceBook) -> dict[str, RouteSum]:
    found: dict[str, RouteSum] = {}
    for item in asked.items:
        for route_type in dict.fromkeys(candidate.route_type for candidate in item.candidates):
            bucket = book.buckets.get(route_type)
            if bucket is not None:
                _add(found.setdefault(route_type, RouteSum(bucket)), item, route_type, book)
    return found


def _add(summed: RouteSum, item: EstimateItem, route_type: str, book: PriceBook) -> None:
    """Low: the cheapest candidate, the fewest tokens. High: the dearest, the most tokens, nothing from a cache."""
    models = [candidate.model for candidate in item.candidates if candidate.route_type == route_type]
    prices = [book.prices[route_type, model] for model in dict.fromkeys(models) if (route_type, model) in book.prices]
    if not prices:
        summed.unpriced.append(item.model)
        return
    low = min(charge_nano(price, _usage(item)) for price in prices) * item.requests
    largest = max(_most(price, item) for price in prices)
    high = largest * item.requests
    summed.low_nano += low
    summed.high_nano += high
    summed.hold_nano = max(summed.hold_nano, largest)
    summed.items.append(
        {
            "model": item.model,
            "answered_by": list(dict.fromkeys(models)),
            "requests": item.requests,
            "low_nano": low,
            "low": format_amount(low),
            "high_nano": high,
            "high": format_amount(high),
        }
    )


def _usage(item: EstimateItem) -> Usage:
    cached = item.input_tokens.low * round(item.cached_share * SHARE_UNIT) // SHARE_UNIT
    return Usage(input_tokens=item.input_tokens.low - cached, cached_input_tokens=cached, output_tokens=item.output_tokens.low)


def _most(price: Prices, item: EstimateItem) -> int:
    return hold_nano(price, item.input_tokens.high, item.output_tokens.high)


def _route(route_type: str, summed: RouteSum, means: Means) -> Row:
    currency = summed.bucket.currency
    tightest = min(
        (
            limit
            for limit in means.limits
            if limit.currency == currency and (limit.kind != "bucket" or limit.entity == summed.bucket.id)
        ),
        key=lambda limit: limit.left_nano,
        default=None,
    )
    available = means.free_nano if tightest is None else min(means.free_nano, tightest.left_nano)
    payable = "yes" if available >= summed.high_nano else "perhaps" if available >= summed.low_nano else "no"
    amounts = {"low": summed.low_nano, "high": summed.high_nano, "available": available, "largest_hold": summed.hold_nano}
    return {
        "route_type": route_type,
        "bucket": summed.bucket.id,
        "currency": currency,
        **{name: format_amount(nano) for name, nano in amounts.items()},
        **{f"{name}_nano": nano for name, nano in amounts.items()},
        "payable": payable if summed.items else "no",
        "stops": None if payable == "yes" else _stop(summed.bucket.id, means, tightest),
        "items": summed.items,
        "unpriced": summed.unpriced,
    }


def _stop(bucket: str, means: Means, tightest: LimitLeft | None) -> Row:
    """The envelope that has the least left."""
    if tightest is not None and tightest.left_nano < means.free_nano:
        return {"kind": tightest.kind, "id": tightest.entity, "window": tightest.window, "left_nano": tightest.left_nano}
    return {"kind": means.source, "id": bucket, "window": None, "left_nano": means.free_nano}


def _sentence(route: Row) -> str:
    currency = route["currency"]
    if not route["items"]:
        return f"On {route['route_type']} routes no price is published for {', '.join(route['unpriced'])}."
    cost = f"On {route['route_type']} routes the job costs {route['low']} to {route['high']} {currency}"
    if route["payable"] == "yes":
        return f"{cost}; {route['available']} {currency} is available, so it can be paid."
    stops = route["stops"]
    what = f"{stops['window']} limit of {stops['kind']} {stops['id']}" if stops["window"] else f"{stops['kind']} {stops['id']}"
    verdict = "it may run out" if route["payable"] == "perhaps" else "it cannot be paid"
    return f"{cost}; the {what} leaves {format_amount(stops['left_nano'])} {currency}, so {verdict}."


def means_of(rows: Sequence[tuple[str, int]], limits: Sequence[LimitLeft], source: str) -> dict[str, Means]:
    """The means of every bucket, from (bucket, free) and the limits around."""
    return {bucket: Means(free, tuple(limits), source) for bucket, free in rows}
