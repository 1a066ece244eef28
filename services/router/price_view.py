"""Settlement's prices as planning needs them: which of two places of one bucket is dearer. Pure.

Prices are compared within one bucket alone, which has one currency: there is no exchange rate here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from schemas.attempts import RouteType
from schemas.ledger import PriceItem
from schemas.money import Prices
from services.router.catalog import Place

INPUT_SHARE, OUTPUT_SHARE = 3, 1
"""What prices are compared at: three input tokens to one output token, which most traffic is near."""


class PriceView(NamedTuple):
    """One version of the price book. `version` is 0 while none has been read."""

    version: int
    buckets: Mapping[str, str]
    items: Mapping[tuple[str, str], PriceItem]
    blended: Mapping[tuple[str, str], int]

    def bucket_of(self, route_type: RouteType) -> str:
        """The bucket that pays for a route type. While that is not known each route type stands for itself."""
        return self.buckets.get(route_type, route_type)

    def price_of(self, place: Place) -> int | None:
        """What the place costs at the compared mix, in nano of its currency per four million tokens; None without a price."""
        return self.blended.get((place.channel.route_type, place.upstream_model))

    def item_of(self, place: Place) -> PriceItem | None:
        """The place's whole price."""
        return self.items.get((place.channel.route_type, place.upstream_model))


NO_PRICES = PriceView(0, {}, {}, {})


def price_view(version: int, buckets: Mapping[str, str], items: Iterable[PriceItem]) -> PriceView:
    """A price book's view."""
    by_place = {(item.route_type, item.model): item for item in items}
    return PriceView(version, dict(buckets), by_place, {key: _blended(item.prices) for key, item in by_place.items()})


def _blended(prices: Prices) -> int:
    return INPUT_SHARE * prices.input + OUTPUT_SHARE * prices.output
