"""The route table in force in this process, and its reload without a dropped request."""

from __future__ import annotations

import asyncio

import psycopg
import structlog

from services.router import metrics
from services.router.catalog import EMPTY, Catalog
from services.router.errors import SecretUnreadableError
from services.router.health import Health
from services.router.route_store import RouteStore

log = structlog.get_logger(__name__)


class Tables:
    """Holds the catalog. A request takes it once and keeps what it took."""

    def __init__(self, store: RouteStore, health: Health) -> None:
        self._store = store
        self._health = health
        self._lock = asyncio.Lock()
        self.catalog: Catalog = EMPTY

    async def reload(self, at_least: int = 0) -> None:
        """Put the stored version in force, unless this or a later one is already.

        Raises psycopg.Error while the database is away, :class:`SecretUnreadableError` for a wrong secrets key; then the
        table in force stays.
        """
        async with self._lock:
            if at_least and self.catalog.version >= at_least:
                return
            catalog = await self._store.catalog()
            if catalog.version == self.catalog.version:
                return
            self.catalog = catalog
            self._health.keep_only(catalog.channels)
            metrics.TABLE_VERSION.set(catalog.version)
            log.info(
                "route_table_in_force", version=catalog.version, models=len(catalog.models), channels=len(catalog.channels)
            )

    async def try_reload(self, at_least: int = 0) -> bool:
        """Reload where that is possible now; whether it was. The reason is logged, and the next look tries again."""
        try:
            await self.reload(at_least)
        except (psycopg.Error, OSError, TimeoutError, SecretUnreadableError) as exc:
            log.warning("route_table_not_reloaded", reason=str(exc), version=self.catalog.version)
            return False
        return True
