"""Answers questions about usage from ClickHouse: a page as JSON, or all of it as CSV."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from clickhouse_connect.driver.exceptions import DatabaseError

from services.analytics.errors import QueryRefusedError
from services.analytics.usage_api import report
from services.analytics.usage_api.question import Question, cursor
from services.analytics.usage_api.turns import Turns
from services.analytics.warehouse import Warehouse, WarehouseAwayError

MOST_ROWS = 1_000
LINES_AT_ONCE = 10_000
TOO_LARGE = {158, 159, 160, 241, 307, 396}
"""ClickHouse's codes of queries that read, take, last or return more than the handle's limits."""


class UsageDesk:
    """Asks with the handle that reads. Raises WarehouseAwayError."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._turns = Turns()

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

    async def lines(self, asked: Question) -> AsyncIterator[bytes]:
        """The whole report as CSV, a page of it at a time in memory. Its first page is there when this returns.

        Pages follow one another by what the rows are summed by: what is loaded meanwhile may change figures of lines that
        are to come, as it would have a little later, but no line comes twice and none of before is passed over.
        """
        whole = await self._rows(replace(asked, by=(), grain="none"), 1, None)
        currencies = [each["currency"] for each in report.totals(whole[0] if whole else None)["costs"]]
        return self._sheet(asked, currencies, await self._rows(asked, LINES_AT_ONCE, None))

    async def _sheet(self, asked: Question, currencies: list[str], rows: list[dict[str, Any]]) -> AsyncIterator[bytes]:
        yield report.csv_head(asked, currencies)
        while rows:
            yield report.csv_lines(asked, [report.record(asked, row) for row in rows], currencies)
            if len(rows) < LINES_AT_ONCE:
                return
            first, second, third = report.keys(rows[-1])
            rows = await self._rows(asked, LINES_AT_ONCE, (first, second, third), begun=True)

    async def _rows(
        self, asked: Question, limit: int, after: tuple[str, str, str] | None, *, begun: bool = False
    ) -> list[dict[str, Any]]:
        """Raises QueryRefusedError where ClickHouse gives up: a smaller question helps, the same again holds up others."""
        try:
            async with self._turns.of(asked.accounts, begun=begun):
                return await self._warehouse.rows(report.statement(asked), report.parameters(asked, limit, after))
        except WarehouseAwayError as error:
            if gave_up(error):
                raise QueryRefusedError(
                    "from", "the report is too large: ask for a shorter range, less in `by`, or filter"
                ) from error
            raise


def gave_up(error: WarehouseAwayError) -> bool:
    """Whether ClickHouse was there, but the question took more than the handle's limits."""
    return isinstance(error.__cause__, DatabaseError) and error.__cause__.code in TOO_LARGE
