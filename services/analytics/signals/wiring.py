"""Rules and judgements put together: the book that every judgement reads, the schedule, and their calls."""

import asyncio
from contextlib import suppress

from fastapi import APIRouter

from services.analytics.alerts.desk import AlertDesk
from services.analytics.database import Database
from services.analytics.signals import backtest_api, meter_calls, rule_api
from services.analytics.signals.rule_book import RuleBook
from services.analytics.signals.rule_store import RuleStore
from services.analytics.signals.schedule import Schedule
from services.analytics.warehouse import Warehouse


class Rules:
    """One process's part of them."""

    def __init__(self, database: Database, warehouse: Warehouse, service_token: str) -> None:
        self._database = database
        self._warehouse = warehouse
        self._token = service_token
        self._store = RuleStore(database)
        self.book = RuleBook(self._store)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, schedule: Schedule) -> None:
        """Begin to follow the versions, and to judge by them."""
        self._tasks = [asyncio.create_task(self.book.run()), asyncio.create_task(schedule.run())]

    def schedule(self, desk: AlertDesk) -> Schedule:
        """What judges the slow rules, and knows what is usual."""
        return Schedule(self._warehouse, self._database, self.book, desk)

    def routers(self, schedule: Schedule) -> list[APIRouter]:
        """The calls."""
        return [
            rule_api.router(self._store),
            backtest_api.router(self._warehouse),
            meter_calls.router(self.book, lambda: schedule.usuals, self._token),
        ]

    async def stop(self) -> None:
        """End it."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
