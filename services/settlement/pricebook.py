"""A price book: what each model costs on each route type, and which bucket pays. Pure values; `price_file` reads them."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

import orjson

from schemas.attempts import RouteType
from schemas.ledger import PriceItem
from schemas.money import Prices, format_amount

ROUTE_TYPES = get_args(RouteType)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A balance with a meaning: its id and its currency."""

    id: str
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBook:
    """One version of all prices. `buckets` by route type, `prices` by (route type, model)."""

    version: int
    sha256: str
    buckets: dict[str, Bucket]
    prices: dict[tuple[str, str], Prices]
    items: tuple[PriceItem, ...]

    def bucket_named(self, bucket_id: str) -> Bucket | None:
        """The bucket with the id, if the book knows it."""
        return next((bucket for bucket in self.buckets.values() if bucket.id == bucket_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BookDocument:
    """A validated book before it has a version: its canonical form, the digest of that, and from when it shall count.

    The date is no part of the content: the same prices at another time have the same digest.
    """

    canonical: dict[str, Any]
    sha256: str
    effective_from: datetime | None = None

    def as_book(self, version: int) -> PriceBook:
        """The book under its version."""
        return book_from(self.canonical, version=version, sha256=self.sha256)


def book_document(
    buckets: Sequence[Mapping[str, Any]], items: Iterable[PriceItem], *, effective_from: datetime | None = None
) -> BookDocument:
    """The document of validated buckets (by id) and items, whatever their order was."""
    ordered = sorted(items, key=lambda item: (item.route_type, item.model))
    canonical = {"buckets": list(buckets), "items": [item.model_dump() for item in ordered]}
    digest = hashlib.sha256(orjson.dumps(canonical, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return BookDocument(canonical=canonical, sha256=digest, effective_from=effective_from)


def book_from(canonical: dict[str, Any], *, version: int, sha256: str) -> PriceBook:
    """A book from its stored canonical document."""
    items = tuple(PriceItem.model_validate(item) for item in canonical["items"])
    return PriceBook(
        version=version,
        sha256=sha256,
        buckets={
            route_type: Bucket(bucket["id"], bucket["currency"])
            for bucket in canonical["buckets"]
            for route_type in bucket["route_types"]
        },
        prices={(item.route_type, item.model): item.prices for item in items},
        items=items,
    )


def exported(book: PriceBook, *, whole: bool = False) -> dict[str, Any]:
    """The book as a file that can be posted again: it has the same digest. `whole`: also prices that are the input's."""
    route_types: dict[Bucket, list[str]] = {}
    for route_type, bucket in book.buckets.items():
        route_types.setdefault(bucket, []).append(route_type)
    buckets = [{"id": each.id, "currency": each.currency, "route_types": types} for each, types in route_types.items()]
    return {"version": 1, "buckets": buckets, "prices": [_line(item, whole=whole) for item in book.items]}


def _line(item: PriceItem, *, whole: bool) -> dict[str, Any]:
    prices = item.prices
    cached = {"cached_input": prices.cached_input, "cache_write": prices.cache_write}
    amounts = {"input": prices.input, "output": prices.output}
    amounts |= {name: nano for name, nano in cached.items() if whole or nano != prices.input}
    texts = {name: format_amount(nano) for name, nano in amounts.items()}
    return {"route_type": item.route_type, "model": item.model, "currency": item.currency, **texts}
