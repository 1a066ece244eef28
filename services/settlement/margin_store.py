"""A margin report, read from the ledger and the exchange rates in one snapshot."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, LiteralString

import psycopg
from psycopg.rows import TupleRow

from services.settlement.attempt_pages import id_at
from services.settlement.database import snapshot
from services.settlement.errors import InvalidError
from services.settlement.fx_store import read_rates
from services.settlement.margin import By, Money, report
from services.settlement.statements import statements

TIMEOUT_MS = 60_000
SLACK = timedelta(hours=1)
"""A transaction's id is minted before it is committed, by the clock of another machine: never so far apart."""
MOST_DAYS = 400


def margins(connection: psycopg.Connection[TupleRow], since: date, until: date, by: By, currency: str) -> dict[str, Any]:
    """The report of the days from `since` to `until`, both included, in UTC. Raises InvalidError."""
    if not since <= until or (until - since).days >= MOST_DAYS:
        raise InvalidError(f"a report begins before it ends, and covers {MOST_DAYS} days at most", param="to")
    begin, end = _midnight(since), _midnight(until + timedelta(days=1))
    bounds = {"since": begin, "until": end, "first": id_at(begin - SLACK), "last": id_at(end + SLACK), "by": by}
    with snapshot(connection):
        connection.execute(_sql("allow_time"), {"timeout_ms": str(TIMEOUT_MS)})
        money = [Money(*row) for row in connection.execute(_sql("money"), bounds)]
        rates = read_rates(connection, [currency], since, until)
    return {
        "object": "margin_report",
        "from": since.isoformat(),
        "to": until.isoformat(),
        "by": by,
        **report(money, rates, currency),
    }


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _sql(name: str) -> LiteralString:
    return statements("margin.sql")[name]
