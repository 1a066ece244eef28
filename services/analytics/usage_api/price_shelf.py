"""The price books by which charges were made, as the ledger's topic told them: a version never changes, so it is read once."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from services.analytics.sqlfile import queries
from services.analytics.usage_api.charges import Price, Route, Tokens
from services.analytics.warehouse import Warehouse

KEPT = 32
"""Books in memory; a book has some thousands of prices at most."""
Book = Mapping[Route, Price]


class PriceShelf:
    """Keeps the books that were asked for last. Raises WarehouseAwayError."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._books: OrderedDict[int, Book] = OrderedDict()

    async def books(self, versions: Iterable[int]) -> dict[int, Book]:
        """Version → its prices, without those that the store does not have."""
        wanted = set(versions) - {0}
        if missing := wanted - self._books.keys():
            rows = await self._warehouse.rows(queries("explain.sql")["books"], {"versions": sorted(missing)})
            self._books |= {row["price_version"]: book_of(row["details"]) for row in rows}
        found = {version: self._books[version] for version in wanted & self._books.keys()}
        for version in found:
            self._books.move_to_end(version)
        while len(self._books) > KEPT:
            self._books.popitem(last=False)
        return found


def book_of(details: str) -> Book:
    """The prices of a PriceBookPublished, as the `ledger` table keeps its items."""
    return {Route(item["route_type"], item["model"]): _price(item) for item in orjson.loads(details)}


def _price(item: Mapping[str, Any]) -> Price:
    prices = item["prices"]
    return Price(item["currency"], Tokens(*(prices[name] for name in ("input", "cached_input", "cache_write", "output"))))
