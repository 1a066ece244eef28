"""Attempts of settled requests and holds without an end, as an operator compares them with a provider's invoice."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import TupleRow, dict_row

from services.settlement.statements import statements

Connection = psycopg.Connection[TupleRow]
LONGEST_REQUEST = timedelta(hours=1)
"""How long after its request's id was minted an attempt may begin."""
SHOWN = (
    "attempt", "channel", "brand", "route_type", "upstream_model", "started_at", "latency_ms", "outcome", "error_class",
    "http_status", "usage", "usage_source", "operator_cost_nano", "operator_cost_currency", "upstream_id", "hold_id",
    "exposure", "operator_exposure_nano", "after_disconnect",
)  # fmt: skip


def attempts(
    connection: Connection, *, since: datetime, until: datetime, channels: frozenset[str], after: UUID | None, limit: int
) -> dict[str, Any]:
    """Attempts of at most `limit` requests, in the order of their ids. `next` is the last of them, None at the end."""
    bounds = {"after": after or id_at(since - LONGEST_REQUEST), "before": id_at(until), "limit": limit}
    rows = connection.execute(statements("attempts.sql")["completions"], bounds).fetchall()
    found = [each for request_id, holder, completed in rows for each in _attempts(request_id, holder, orjson.loads(completed))]
    chosen = [each for each in found if not channels or each["channel"] in channels]
    last = rows[-1][0] if len(rows) == limit else None
    return {"object": "list", "data": chosen, "next_after": last, "next": last}


def unknown_ends(
    connection: Connection, *, since: datetime, until: datetime, limit: int, after: UUID | None = None
) -> dict[str, Any]:
    """A page of holds whose request never completed, with the candidates that may have been asked."""
    asked = {"since": since, "until": until, "after": after, "limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statements("attempts.sql")["unknown_ends"], asked).fetchall()
    found = [{**row, "candidates": row.pop("detail")["candidates"]} for row in rows]
    return {"object": "list", "data": found, "next_after": found[-1]["id"] if len(found) == limit else None}


def exposures(
    connection: Connection, *, since: datetime, until: datetime, limit: int, after: UUID | None = None
) -> dict[str, Any]:
    """A page of attempts of settled requests whose provider never said what it counted, with the most that it may bill."""
    bounds = {"after": after or id_at(since - LONGEST_REQUEST), "before": id_at(until), "limit": limit}
    rows = connection.execute(statements("attempts.sql")["exposed"], bounds).fetchall()
    found = [each for request_id, holder, completed in rows for each in _attempts(request_id, holder, orjson.loads(completed))]
    exposed = [each for each in found if each["exposure"] is not None]
    return {"object": "list", "data": exposed, "next_after": rows[-1][0] if len(rows) == limit else None}


def id_at(instant: datetime) -> UUID:
    """The least id that a request of the instant can have: ids begin with their milliseconds."""
    milliseconds = max(int(instant.timestamp() * 1000), 0)
    return UUID(int=milliseconds << 80)


def _attempts(request_id: UUID, holder: str, event: dict[str, Any]) -> Iterable[dict[str, Any]]:
    data = event["data"]
    for attempt in data["attempts"]:
        yield {
            "request_id": request_id,
            "account_id": holder,
            **{name: attempt.get(name) for name in SHOWN},
            "charged": attempt["attempt"] in {data["charged_attempt"], *data.get("also_charged", ())},
        }
