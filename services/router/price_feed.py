"""The price book in force, read from settlement every few seconds: what `cheapest` compares and which bucket pays for what."""

from __future__ import annotations

import asyncio

import structlog
from pydantic import Field, ValidationError

from schemas.attempts import RouteType
from schemas.envelope import Contract, Identifier
from schemas.ledger import PriceItem
from services.router import metrics
from services.router.buckets import Buckets
from services.router.errors import LedgerUnavailableError
from services.router.ledger import Ledger
from services.router.price_view import NO_PRICES, PriceView, price_view

REFRESH_S = 5.0
log = structlog.get_logger(__name__)


class _PriceBook(Contract):
    version: int
    buckets: dict[RouteType, Identifier] = Field(default_factory=dict)
    items: list[PriceItem]


class PriceFeed:
    """Keeps the last book that could be read. Holds are priced by settlement alone: an old view costs order, never money."""

    def __init__(self, ledger: Ledger, buckets: Buckets) -> None:
        self._ledger = ledger
        self._buckets = buckets
        self._task: asyncio.Task[None] | None = None
        self._away = False
        self.view: PriceView = NO_PRICES

    def start(self) -> None:
        """Read from now on."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def refresh(self) -> None:
        """Read once; what cannot be read changes nothing."""
        try:
            book = _PriceBook.model_validate_json(await self._ledger.price_book())
        except (LedgerUnavailableError, ValidationError) as exc:
            if not self._away:
                # Said once, not every few seconds: before the first book there may be none for long.
                log.warning("price_book_not_read", reason=str(exc)[:200], version=self.view.version)
            self._away = True
            return
        self._away = False
        if book.version == self.view.version:
            return
        self.view = price_view(book.version, {str(key): bucket for key, bucket in book.buckets.items()}, book.items)
        for route_type, bucket in book.buckets.items():
            self._buckets.learn(route_type, bucket)
        metrics.PRICE_VERSION.set(book.version)

    async def _run(self) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_S)
