"""Reads the requests of a list from ClickHouse."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from services.analytics import metrics
from services.analytics.drilldown.question import Place, Question, hours_of, micros
from services.analytics.drilldown.shown import request_shown
from services.analytics.errors import QueryRefusedError
from services.analytics.sqlfile import queries
from services.analytics.usage_api.desk import gave_up
from services.analytics.usage_api.turns import Turns
from services.analytics.warehouse import Warehouse, WarehouseAwayError

Row = dict[str, Any]
FILE = "drilldown.sql"
TOO_LARGE = "the list takes too much to find: ask for a shorter range, or filter by key, project or run"


class RequestDesk:
    """Raises WarehouseAwayError, TooManyReportsError where an account asks for too many lists at once, and QueryRefusedError
    where ClickHouse gives up: a smaller question helps, the same again holds up others."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._turns = Turns("lists of requests")

    async def page(self, asked: Question) -> dict[str, Any]:
        """A page, the newest first. It may be shorter than asked for and have a next one nevertheless."""
        try:
            async with self._turns.of(asked.only.accounts):
                return await self._page(asked)
        except WarehouseAwayError as error:
            if gave_up(error):
                raise QueryRefusedError("from", TOO_LARGE) from error
            raise

    async def _page(self, asked: Question) -> dict[str, Any]:
        found = await self._rows(asked.only.by, asked.parameters, tagged=bool(asked.only.tag))
        more = len(found) > asked.limit
        found = found[: asked.limit]
        following = Place(micros(found[-1]["at"]), found[-1]["id"]) if more else None
        rows = found if asked.only.by == "ended" else await self._ends_of(found)
        return {
            "object": "list",
            "data": [request_shown(row) for row in once(rows, "id")],
            "next_after": None if following is None else str(following),
        }

    async def _ends_of(self, tries: Sequence[Row]) -> list[Row]:
        """How the requests of upstream calls ended, in the order of the calls; what has not ended yet is left out."""
        wanted: dict[UUID, None] = dict.fromkeys(row["request_id"] for row in tries if row["request_id"] is not None)
        if not wanted:
            return []
        values = {"hours": hours_of([row["at"] for row in tries]), "request_ids": [str(name) for name in wanted]}
        ended = {row["request_id"]: row for row in await self._rows("completed", values)}
        return [ended[name] for name in wanted if name in ended]

    async def _rows(self, name: str, values: Mapping[str, Any], *, tagged: bool = False) -> list[Row]:
        with metrics.QUERY_SECONDS.labels(f"drilldown_{name}").time():
            return await self._warehouse.rows(statement(name, tagged=tagged), values)


def statement(name: str, *, tagged: bool) -> str:
    """A query of the list."""
    blocks = queries(FILE)
    parts = {"$completed": blocks["completed_columns"], "$rejected": blocks["rejected_columns"]}
    parts["$tagged"] = blocks[f"tagged_{name}"] if tagged else "1"
    sql = blocks[name]
    for mark, part in parts.items():
        sql = sql.replace(mark, part)
    return sql


def once(rows: Sequence[Row], name: str) -> list[Row]:
    """Without those whose `name` has been there before."""
    return list({row[name]: row for row in reversed(rows)}.values())[::-1]
