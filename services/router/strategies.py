"""In which order the candidates of a model are asked. Pure.

Priority comes first (lower before higher); the model's strategy orders candidates of equal priority. `cheapest` and `fastest`
compare within a bucket alone: which balance pays is decided by the model's own order, never by a price in another currency or
by a moment's latency.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from services.router.catalog import Model, Place
from services.router.operator_cost import FACTOR_PLACES
from services.router.price_view import NO_PRICES, PriceView

UNKNOWN_COST = 1 << 62
UNPRICED = 1 << 80
RecentMs = Callable[[Place, bool], float | None]
"""How long a place has lately taken: to the first chunk of a stream (True), to the whole of a plain reply (False)."""


def _unmeasured(_place: Place, _stream: bool) -> float | None:  # the shape of RecentMs
    return None


class Views(NamedTuple):
    """What the strategies look at. `draw` is uniform in [0, 1)."""

    draw: Callable[[], float]
    stream: bool = False
    prices: PriceView = NO_PRICES
    recent_ms: RecentMs = _unmeasured


def ordered(model: Model, places: Sequence[Place], views: Views) -> list[Place]:
    """The places of a model that may be asked, in the order in which they are asked. They come by priority."""
    if len(places) < 2 or model.strategy == "priority":
        return list(places)
    if model.strategy == "weighted":
        # A weighted shuffle (Efraimidis and Spirakis): the largest draw ** (1 / weight) comes first.
        return sorted(places, key=lambda place: (place.priority, -(views.draw() ** (1 / (place.weight or 1)))))
    ranks = bucket_ranks(places, views.prices)
    if model.strategy == "cheapest":
        return sorted(places, key=lambda place: (place.priority, ranks[place.channel.route_type], *cost(place, views.prices)))
    # What was never measured comes first, so that it is.
    by_speed = sorted(
        places,
        key=lambda p: (p.priority, ranks[p.channel.route_type], views.recent_ms(p, views.stream) or 0.0),
    )
    return _explored(by_speed, ranks, model.explore, views.draw())


def bucket_ranks(places: Sequence[Place], prices: PriceView) -> dict[str, int]:
    """For each route type the place of its bucket in the model's own order."""
    ranks: dict[str, int] = {}
    by_type: dict[str, int] = {}
    for place in places:
        route_type = place.channel.route_type
        if route_type not in by_type:
            by_type[route_type] = ranks.setdefault(prices.bucket_of(route_type), len(ranks))
    return by_type


def cost(place: Place, prices: PriceView) -> tuple[int, int]:
    """What the customer pays, then what the operator does: of places that cost the customer the same, the better margin."""
    price, factor = prices.price_of(place), place.channel.factor
    share = UNKNOWN_COST if factor is None else factor.numerator * (FACTOR_PLACES // factor.denominator)
    return (UNPRICED if price is None else price), share


def _explored(places: list[Place], ranks: dict[str, int], share: float, drawn: float) -> list[Place]:
    """A small share of requests goes first to another place than the fastest, so that one that has recovered is noticed."""
    if drawn >= share:
        return places
    first = places[0]
    rivals = [
        place
        for place in places[1:]
        if place.priority == first.priority and ranks[place.channel.route_type] == ranks[first.channel.route_type]
    ]
    if not rivals:
        return places
    chosen = rivals[int(drawn / share * len(rivals))]
    return [chosen, *(place for place in places if place is not chosen)]
