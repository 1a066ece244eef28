"""The price book in force, read from settlement every few seconds: what `cheapest` compares and which bucket pays for what."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from time import monotonic

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


class _Book(Contract):
    version: int
    buckets: dict[RouteType, Identifier] = Field(default_factory=dict)
    items: list[PriceItem]


class _Following(_Book):
    starts_in_ms: int


class _PriceBook(_Book):
    next: list[_Following] = Field(default_factory=list)


class PriceFeed:
    """Keeps the last book that could be read, and those that follow it by date, each of which takes over at its instant.

    Holds are priced by settlement alone: an old view costs order, never money.
    """

    def __init__(self, ledger: Ledger, buckets: Buckets, clock: Callable[[], float] = monotonic) -> None:
        self._ledger = ledger
        self._buckets = buckets
        self._clock = clock
        self._following: list[tuple[float, _Book]] = []
        self._task: asyncio.Task[None] | None = None
        self._away = False
        self._told = asyncio.Event()
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
        now = self._clock()
        self._following = [(now + each.starts_in_ms / 1000, each) for each in book.next]
        self._take(book)
        self.advance()

    def advance(self) -> float:
        """Take what is in force by now, and say in how many seconds to look again."""
        now = self._clock()
        while self._following and self._following[0][0] <= now:
            self._take(self._following.pop(0)[1])
        return min(self._following[0][0] - now, REFRESH_S) if self._following else REFRESH_S

    def _take(self, book: _Book) -> None:
        if book.version == self.view.version:
            return
        self.view = price_view(book.version, {str(key): bucket for key, bucket in book.buckets.items()}, book.items)
        for route_type, bucket in book.buckets.items():
            self._buckets.learn(route_type, bucket)
        metrics.PRICE_VERSION.set(book.version)

    def nudge(self) -> None:
        """There is a new book: read it now."""
        self._told.set()

    async def _run(self) -> None:
        while True:
            self._told.clear()
            await self.refresh()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.advance()):
                    await self._told.wait()
            self.advance()
