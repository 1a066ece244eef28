"""Rules put together: their store, the book that every judgement reads, and their calls."""

import asyncio
from contextlib import suppress

from fastapi import APIRouter

from services.analytics.database import Database
from services.analytics.signals import rule_api
from services.analytics.signals.rule_book import RuleBook
from services.analytics.signals.rule_store import RuleStore


class Rules:
    """One process's part of them."""

    def __init__(self, database: Database) -> None:
        self._store = RuleStore(database)
        self.book = RuleBook(self._store)
        self._task: asyncio.Task[None] | None = None

    def routers(self) -> list[APIRouter]:
        """The calls."""
        return [rule_api.router(self._store)]

    def start(self) -> None:
        """Begin to follow the versions."""
        self._task = asyncio.create_task(self.book.run())

    async def stop(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
