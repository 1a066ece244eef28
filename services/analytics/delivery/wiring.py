"""Delivery put together: the queue, what is sent with, the loop and its calls."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from fastapi import APIRouter

from schemas.envelope import now
from services.analytics.delivery import api
from services.analytics.delivery.costs import WarehouseCosts
from services.analytics.delivery.http_sender import HttpSender
from services.analytics.delivery.loop import STOP_S, Delivery, Directory
from services.analytics.delivery.owners import EdgeOwners, NoNames
from services.analytics.delivery.queue import Queue, new_pool
from services.analytics.delivery.sending import SEND_TIMEOUT_S, Sending
from services.analytics.delivery.smtp_sender import SmtpSender
from services.analytics.settings import Settings
from services.analytics.warehouse import Warehouse

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def dashboard_of(settings: Settings) -> str:
    """Where people find the dashboard; empty where that was not said and cannot be known."""
    own = f"http://{settings.host}:{settings.port}/dashboard" if settings.host in LOOPBACK else ""
    return settings.dashboard_url or own


class Deliveries:
    """One process's part of them. `directory` gives the receivers of the rules in force; `environ`, what they may name."""

    def __init__(self, settings: Settings, warehouse: Warehouse, directory: Directory, environ: Mapping[str, str]) -> None:
        self._pool = new_pool(settings.database_url)
        self._http = HttpSender(timeout_s=SEND_TIMEOUT_S, clock=now)
        self._edge = EdgeOwners(settings.edge_url, settings.admin_token.get_secret_value()) if settings.edge_url else None
        queue = Queue(self._pool)
        sending = Sending(
            http=self._http,
            smtp=SmtpSender(timeout_s=SEND_TIMEOUT_S),
            owners=self._edge or NoNames(),
            costs=WarehouseCosts(warehouse),
            environ=environ,
            dashboard_url=dashboard_of(settings),
        )
        self._loop = Delivery(queue, sending, directory)
        self._desk = api.Desk(queue, sending, directory, environ)
        self._task: asyncio.Task[None] | None = None

    def routers(self) -> list[APIRouter]:
        """The calls."""
        return [api.router(self._desk)]

    async def start(self) -> None:
        """Begin to send. Does not wait for Postgres."""
        await self._pool.open(wait=False)
        self._task = asyncio.create_task(self._loop.run())

    async def stop(self) -> None:
        """End it: what is under way is given a moment; the rest is sent by the next process."""
        self._loop.stop()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=STOP_S)
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._http.close()
        if self._edge is not None:
            await self._edge.close()
        await self._pool.close(timeout=5)
