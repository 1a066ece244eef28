"""Deletes what has expired: idempotency claims and stored admin replies, a bounded number at a time."""

import asyncio

import structlog

from services.edge.database import Database
from services.edge.errors import StoreUnavailableError

log = structlog.get_logger(__name__)

EVERY_S = 300.0


async def keep_house(database: Database, every_s: float = EVERY_S) -> None:
    """Purge until cancelled."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await database.rows("purge_claims")
            await database.rows("purge_admin_replies")
        except StoreUnavailableError as error:
            log.warning("could not delete what has expired, trying later", error=str(error))
