"""`/admin/fx-rates` and `/admin/reports/margin`: what was earned, and the exchange rates that such reports are made with."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Annotated

import psycopg
from fastapi import APIRouter, Query, Response
from psycopg.rows import TupleRow
from pydantic import BaseModel, ConfigDict, Field

from services.settlement import fx_store
from services.settlement.admin_calls import CHANGING, Repeatable, operation
from services.settlement.admin_models import Page
from services.settlement.audit_log import Change
from services.settlement.changes import Made, Reply, change, page_of
from services.settlement.errors import InvalidError
from services.settlement.fx import Day, Rate, RateLine
from services.settlement.margin import By
from services.settlement.margin_store import margins
from services.settlement.money_in import Name
from services.settlement.report_models import MarginReport, RateRow, RatesReply

Connection = psycopg.Connection[TupleRow]
Connect = Callable[[], AbstractContextManager[Connection]]
MOST_RATES = 1000


class RateLines(BaseModel):
    """Body: rates to put in force."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rates: Annotated[Sequence[RateLine], Field(min_length=1, max_length=MOST_RATES)]
    author: Name = "admin"


def report_router(connect: Connect) -> APIRouter:
    """The routes. Handlers that block run in FastAPI's threads."""
    router = APIRouter(prefix="/admin")
    _rate_routes(router, connect)

    @router.get("/reports/margin", response_model=MarginReport, **operation("price.read", "Report margins"))
    def report_margins(since: Annotated[Day, Query(alias="from")], to: Day, by: By = "day", currency: Name = "USD") -> Response:
        """What was charged, less refunds and what the attempts cost, at the rate of each day (UTC, both days included)."""
        with connect() as connection:
            return Reply(margins(connection, since, to, by, currency))

    return router


def _rate_routes(router: APIRouter, connect: Connect) -> None:
    @router.post("/fx-rates", response_model=RatesReply, **operation("price.write", "Set exchange rates", errors=CHANGING))
    def set_fx_rates(asked: RateLines, call: Repeatable) -> Response:
        """For reports alone. A rate of a pair and a day that has one supersedes it; the same again changes nothing."""
        _require_sensible(asked.rates)
        author = call.author(asked.author)

        def make(connection: Connection) -> Made:
            changed = fx_store.set_rates(connection, asked.rates, author=author)
            answer = {"set": len(changed), "unchanged": len(asked.rates) - len(changed)}
            return Made(answer=answer, changes=[_entry(before, after, author) for before, after in changed])

        return change(connect, call, make)

    @router.get("/fx-rates", response_model=Page[RateRow], **operation("price.read", "List exchange rates"))
    def list_fx_rates(  # noqa: PLR0917 - FastAPI passes them by name
        from_currency: Annotated[Name | None, Query(alias="from")] = None,
        to: Name | None = None,
        since: Day | None = None,
        until: Day | None = None,
        history: bool = False,
        after: Annotated[int | None, Query(ge=1, le=2**62)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> Response:
        """Those in force, the last set first; with `history` also what they superseded."""
        pair = {"from_currency": from_currency, "to_currency": to}
        with connect() as connection:
            found = fx_store.listed(connection, **pair, since=since, until=until, history=history, after=after, limit=limit + 1)
        return Reply(page_of(found, limit, lambda row: row["id"]))


def _require_sensible(rates: Sequence[RateLine]) -> None:
    """Raise InvalidError for a day that nobody can know of, and for two rates of one pair and day."""
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    seen: set[tuple[str, str, str]] = set()
    for number, line in enumerate(rates):
        key = (line.from_currency, line.to_currency, line.day.isoformat())
        if line.day > tomorrow:
            raise InvalidError(
                f"rate {number + 1}: {line.day} is not over: nobody knows its rate", param=f"rates.{number}.date"
            )
        if key in seen:
            raise InvalidError(f"rate {number + 1}: {' '.join(key)} stands twice: leave one out", param=f"rates.{number}")
        seen.add(key)


def _entry(before: Rate | None, after: Rate, author: str) -> Change:
    return Change(
        action="fx.set",
        entity_kind="fx_rate",
        entity_id=f"{after.from_currency}/{after.to_currency} {after.day}",
        before=None if before is None else {"rate": before.rate, "source": before.source},
        after={"rate": after.rate, "source": after.source},
        author=author,
    )
