"""Answers why a cost changed, from ClickHouse."""

import asyncio
from typing import Any

from services.analytics.errors import QueryRefusedError
from services.analytics.sqlfile import queries
from services.analytics.usage_api import explain_sql
from services.analytics.usage_api.charges import Price, Route
from services.analytics.usage_api.desk import gave_up
from services.analytics.usage_api.explain_sql import Statements
from services.analytics.usage_api.explanation import Facts, Pair, explanation
from services.analytics.usage_api.price_shelf import PriceShelf
from services.analytics.usage_api.question import Question
from services.analytics.usage_api.turns import Turns
from services.analytics.warehouse import Warehouse, WarehouseAwayError

Row = dict[str, Any]
BOTH = (0, 1)
TOO_MANY = f"the spans have more than {explain_sql.MOST_GROUPS:,} groups of models, routes and prices: ask for less, or filter"

TOO_LARGE = "the spans are too large to explain: ask for shorter ones, or filter"


class ExplainDesk:
    """Asks with the handle that reads. Raises WarehouseAwayError."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._shelf = PriceShelf(warehouse)
        self._turns = Turns()

    async def explain(self, before: Question, after: Question) -> dict[str, Any]:
        """The answer as JSON. Raises :class:`QueryRefusedError` where it would take too much.

        One of an account at a time: it is more than a dozen queries, and seconds of reckoning where there are many models.
        """
        try:
            async with self._turns.of(after.accounts):
                return await self._explanation(before, after)
        except WarehouseAwayError as error:
            if gave_up(error):
                raise QueryRefusedError("from", TOO_LARGE) from error
            raise

    async def _explanation(self, before: Question, after: Question) -> dict[str, Any]:
        spans = (before, after)
        parameters = explain_sql.parameters(spans)
        ask = await self._statements(after, parameters)
        whole = [explain_sql.read(await self._charges(ask, number, None, parameters)) for number in BOTH]
        parts = {kind: await self._parts(ask, kind, parameters) for kind in _kinds(after)}
        names = await self._key_names(list(parts["key"]), spans)
        books = await self._shelf.books({each.price_version for side in whole for each in side})

        def price_of(version: int, route: Route) -> Price | None:
            return books[version].get(route) if version in books else None

        facts = Facts(whole=(whole[0], whole[1]), parts=parts, names=names)
        return await asyncio.to_thread(explanation, spans, facts, price_of)

    async def _statements(self, asked: Question, parameters: Row) -> Statements:
        """Of the rollups, unless they lack what is asked: runs, or the prices of charges of before they kept them."""
        tags = bool(asked.tags)
        if "run_id" in asked.filters:
            return Statements(tags, (False, False))
        rolled = [not (await self._warehouse.rows(Statements(tags).old_rows(n), parameters))[0]["found"] for n in BOTH]
        return Statements(tags, (rolled[0], rolled[1]))

    async def _charges(self, ask: Statements, number: int, who: str | None, parameters: Row) -> list[Row]:
        found = await self._warehouse.rows(ask.charges(number, who), parameters)
        if len(found) > explain_sql.MOST_GROUPS:
            raise QueryRefusedError("from" if number else "against_from", TOO_MANY)
        return found

    async def _parts(self, ask: Statements, kind: str, parameters: Row) -> dict[str, Pair]:
        """Of each whose cost changed most: what was charged in the two spans."""
        names = sorted({row["who"] for row in await self._warehouse.rows(ask.movers(kind), parameters)})
        found: dict[str, Pair] = {name: ([], []) for name in names}
        for number in BOTH:
            rows = await self._charges(ask, number, kind, {**parameters, "anyone": 0, "whose": names})
            for row, charge in zip(rows, explain_sql.read(rows), strict=True):
                found[row["who"]][number].append(charge)
        return found

    async def _key_names(self, keys: list[str], spans: tuple[Question, Question]) -> dict[str, str]:
        begin, end = min(each.since for each in spans), max(each.until for each in spans)
        asked = {"keys": keys, "from_s": int(begin.timestamp()) // 3600 * 3600, "to_s": int(end.timestamp())}
        rows = await self._warehouse.rows(queries(explain_sql.FILE)["key_names"], asked)
        return {row["key_id"]: row["key_name"] for row in rows if row["key_name"]}


def _kinds(asked: Question) -> tuple[str, ...]:
    """Who is told apart: accounts only where several are asked about."""
    several = asked.accounts is None or len(asked.accounts) > 1
    return ("key", "project", *(("account",) if several else ()))
