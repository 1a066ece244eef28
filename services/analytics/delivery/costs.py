"""What an alert has cost so far: what its subject was charged since the window in which it was noticed began."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

import structlog

from services.analytics.delivery.notice import Notice
from services.analytics.errors import AnalyticsError
from services.analytics.sqlfile import queries
from services.analytics.warehouse import Warehouse

TIMEOUT_S = 5.0
"""A message does not wait longer for it."""
SUBJECTS = frozenset({"key", "project", "account", "channel", "model", "route"})
log = structlog.get_logger("analytics.delivery")


class Costs(Protocol):
    """Who knows what it cost."""

    async def cost(self, notice: Notice) -> Mapping[str, int]:
        """Nano by currency; nothing where it is not known in time. Never raises."""


class WarehouseCosts:
    """Asks ClickHouse's sums by the minute. What was charged within the last seconds may not be among it yet."""

    def __init__(self, warehouse: Warehouse, *, timeout_s: float = TIMEOUT_S) -> None:
        self._warehouse = warehouse
        self._timeout_s = timeout_s

    async def cost(self, notice: Notice) -> Mapping[str, int]:
        """As the notice has it, or as ClickHouse says. Of a route the notice has what its window cost, which is not all."""
        if notice.subject_kind not in SUBJECTS or (notice.cost_nano and notice.subject_kind != "route"):
            return notice.cost_nano
        parameters = {
            "since": int(_noticed_since(notice).timestamp()),
            "until": int(notice.at.timestamp()),
            "kind": notice.subject_kind,
            "subject": notice.subject_id,
            "account": notice.account_id,
        }
        try:
            async with asyncio.timeout(self._timeout_s):
                rows = await self._warehouse.rows(queries("delivery_costs.sql")["cost_of_subject"], parameters)
        except (AnalyticsError, TimeoutError) as error:
            log.warning("cost_unavailable", error=type(error).__name__, alert_id=notice.alert_id)
            return notice.cost_nano
        return {str(row["currency"]): int(row["nano"]) for row in rows}


def _noticed_since(notice: Notice) -> datetime:
    """When the window began in which it was noticed first: the same for every message, so that no later one tells of less."""
    first = notice.fired_at - (notice.window_end - notice.window_start)
    return min(first, notice.window_start) if notice.event == "firing" else first
