"""Alerts put together: the desk, its calls, and what goes on beside them."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from fastapi import APIRouter

from services.analytics import audit_api
from services.analytics.alerts import api, silence_api, verdict_call
from services.analytics.alerts.desk import AlertDesk
from services.analytics.alerts.forgetting import Forgetter, Kept
from services.analytics.alerts.freezer import Freezer, Owners
from services.analytics.alerts.loader_lag import LoaderLag
from services.analytics.alerts.upkeep import Upkeep, Watcher
from services.analytics.alerts.views import Views
from services.analytics.database import Database
from services.analytics.loader import LoaderState
from services.analytics.publisher import Publisher
from services.analytics.settings import Settings


class Alerts:
    """One process's part of them. `desk` takes verdicts; `receivers` says who hears of meter and loader themselves."""

    def __init__(
        self, settings: Settings, database: Database, loader: LoaderState, receivers: Callable[[], tuple[str, ...]]
    ) -> None:
        self._database = database
        self._token = settings.analytics_token.get_secret_value()
        self.desk = AlertDesk(database, self._wake)
        self._views = Views(database)
        self._owners = Owners(settings.edge_url, settings.router_url, settings.admin_token.get_secret_value())
        self._publisher = Publisher(settings.kafka_bootstrap_servers, "analytics-alerts")
        freezer = Freezer(database, self._owners)
        watcher = Watcher(database, LoaderLag(loader).seconds, receivers) if settings.watch_itself else None
        kept = Kept(timedelta(days=settings.alert_messages_keep_days), timedelta(days=settings.alert_history_keep_days))
        forgetter = Forgetter(database, kept)
        self._upkeep = Upkeep(database, self.desk, freezer, self._publisher, watcher, forgetter=forgetter)
        self._task: asyncio.Task[None] | None = None

    def routers(self) -> list[APIRouter]:
        """The calls."""
        return [
            api.router(self._views, self.desk),
            silence_api.router(self._views, self.desk),
            audit_api.router(self._database),
            verdict_call.router(self._database, self.desk, self._token),
        ]

    def start(self) -> None:
        """Begin what goes on by itself."""
        self._task = asyncio.create_task(self._upkeep.run())

    async def stop(self) -> None:
        """End it. What was under way is taken up by the next process."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError, BaseExceptionGroup):
                await self._task
        await self._publisher.stop()
        await self._owners.close()

    def _wake(self) -> None:
        self._upkeep.wake()
