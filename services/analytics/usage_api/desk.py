"""Answers questions about usage from ClickHouse: a page as JSON, or all of it as CSV."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from services.analytics.errors import QueryRefusedError
from services.analytics.usage_api import report
from services.analytics.usage_api.question import Question, cursor
from services.analytics.warehouse import Warehouse

MOST_ROWS = 1_000
MOST_LINES = 50_000


class UsageDesk:
    """Asks with the handle that reads. Raises WarehouseAwayError."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    async def page(self, asked: Question, limit: int, after: tuple[str, str, str] | None) -> dict[str, Any]:
        """One page, in the order of what it is summed by, and the totals of all."""
        rows = await self._rows(asked, limit + 1, after)
        shown = rows[:limit]
        more = cursor(report.keys(shown[-1])) if len(rows) > limit else None
        # A request with two tags is in two rows, but once in the totals.
        whole = await self._rows(replace(asked, by=(), grain="none"), 1, None)
        return {
            "object": "usage",
            "from": asked.since,
            "to": asked.until,
            "timezone": asked.zone,
            "interval": asked.grain,
            "by": list(asked.by),
            "totals": report.totals(whole[0] if whole else None),
            "data": [report.record(asked, row) for row in shown],
            "next_after": more,
        }

    async def lines(self, asked: Question) -> Iterator[bytes]:
        """The whole report as CSV. Raises :class:`QueryRefusedError` where it is too long."""
        rows = await self._rows(asked, MOST_LINES + 1, None)
        if len(rows) > MOST_LINES:
            raise QueryRefusedError("from", f"the report has more than {MOST_LINES} lines: ask for a shorter range, or filter")
        currencies = {currency for row in rows for currency, nano in row["cost"].items() if nano}
        return report.csv_lines(asked, (report.record(asked, row) for row in rows), currencies)

    async def _rows(self, asked: Question, limit: int, after: tuple[str, str, str] | None) -> list[dict[str, Any]]:
        return await self._warehouse.rows(report.statement(asked), report.parameters(asked, limit, after))
