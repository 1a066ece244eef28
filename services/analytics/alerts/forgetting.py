"""What is over is forgotten after some days: events and messages that were sent, steps of alerts that ended."""

import asyncio
from datetime import timedelta
from typing import NamedTuple

import structlog

from services.analytics import metrics
from services.analytics.alerts.store import SQL
from services.analytics.database import Database

MOST = 1_000
"""Rows of each kind that one transaction removes at most."""
PAUSE_S = 0.2
log = structlog.get_logger("analytics.alerts")


class Kept(NamedTuple):
    """How long: `messages` are events and deliveries, `history` the steps of alerts that are over, silences that ended, and
    alerts that never fired. Alerts that fired, what was frozen and the audit log are kept.
    """

    messages: timedelta
    history: timedelta


class Forgetter:
    """Removes what is old in small steps. Several instances may: one at a time finds the turn free."""

    def __init__(self, database: Database, kept: Kept) -> None:
        self._database = database
        self._kept = kept

    async def work(self) -> int:
        """Remove everything that is old by now; how many rows. Raises PostgresAwayError."""
        total, full = 0, True
        while full:
            asked = {**self._kept._asdict(), "most": MOST}
            removed = {row["what"]: row["removed"] for row in await self._database.rows(SQL, "forget", asked)}
            for what, count in removed.items():
                metrics.FORGOTTEN.labels(what).inc(count)
            total += sum(removed.values())
            if full := any(count >= MOST for count in removed.values()):
                await asyncio.sleep(PAUSE_S)
        if total:
            log.info("forgot what was old", rows=total)
        return total
