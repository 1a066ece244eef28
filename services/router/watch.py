"""Looks at Postgres every second: for a table or a freeze that the control topic did not tell of, and for what is to be told.

The topic tells at once that there is something. What was decided is what Postgres says: also where the topic says otherwise.
"""

from __future__ import annotations

import asyncio

import psycopg
import structlog

from services.router import metrics
from services.router.change_log import Connection
from services.router.control_outbox import ControlOutbox
from services.router.freeze_store import FreezeStore, decisions
from services.router.freezes import Freeze, Freezes
from services.router.queries import queries
from services.router.route_store import connect
from services.router.tables import Tables

LOOK_S = 1.0
FLUSH_S = 5.0
log = structlog.get_logger(__name__)


class Watch:
    """Keeps one connection. While the database is away everything stays as it is known."""

    def __init__(
        self, database_url: str, *, tables: Tables, freezes: Freezes, store: FreezeStore, outbox: ControlOutbox
    ) -> None:
        self._database_url = database_url
        self._tables = tables
        self._freezes = freezes
        self._store = store
        self._outbox = outbox
        self._connection: Connection | None = None
        # One look after the other: what was read before a decision never replaces what was read after it.
        self._loading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look from now on."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._close()

    async def load_freezes(self) -> None:
        """Learn every decision on a channel. Raises psycopg.Error while the database is away."""
        async with self._loading:
            self._obey(await self._store.load())

    async def hear_freeze(self, told: Freeze) -> None:
        """Look at once at what the topic tells of: it says when to look, and only Postgres what was decided."""
        if self._freezes.knows(told):
            return
        try:
            await self.load_freezes()
        except (psycopg.Error, OSError, TimeoutError) as exc:
            log.warning("database_not_looked_at", reason=str(exc))
            return
        if self._freezes.found_ahead(told):
            log.error("control_record_nobody_decided", channel=told.channel_id, version=told.version, author=told.author)

    def _obey(self, decisions: list[Freeze]) -> None:
        for decided in self._freezes.replace(decisions):
            log.info("channel_freeze_in_force", channel=decided.channel_id, frozen=decided.frozen, author=decided.author)
        metrics.CHANNELS_FROZEN.set(len(self._freezes.channels))

    async def _run(self) -> None:
        said = ""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
                said = ""
            except (psycopg.Error, OSError, TimeoutError) as exc:
                await self._close()
                if said != (said := type(exc).__name__):
                    log.warning("database_not_looked_at", reason=str(exc))

    async def look(self) -> None:
        """One look. Raises psycopg.Error while the database is away."""
        if self._connection is None:
            self._connection = await connect(self._database_url)
            await self._connection.set_autocommit(True)
        state = await (await self._connection.execute(queries("control.sql")["state"])).fetchone()
        assert state is not None
        if state["table_version"] != self._tables.catalog.version:
            await self._tables.try_reload()
        async with self._loading:
            self._obey(await decisions(self._connection))
        if state["to_announce"]:
            await self._outbox.try_flush(FLUSH_S)

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
