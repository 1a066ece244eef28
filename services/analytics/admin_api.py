"""The admin calls: how far the loader is, what it has loaded."""

import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.analytics import metrics
from services.analytics.admin_calls import operation
from services.analytics.admin_models import Lag, TopicCount
from services.analytics.batch import Partition
from services.analytics.ends import Ends
from services.analytics.errors import QueryRefusedError, TransientError
from services.analytics.http_errors import UnauthorizedError
from services.analytics.loader import LoaderState
from services.analytics.rows.fields import EPOCH
from services.analytics.rows.registry import TOPICS, tables_of
from services.analytics.sqlfile import queries
from services.analytics.timerange import TimeRange
from services.analytics.warehouse import Warehouse

FIRST_YEAR, LAST_YEAR = 1970, 2200
"""What a query may name: ClickHouse keeps instants to the year 2299, and another offset moves one by a day at most."""
Since = Annotated[datetime | None, Query(alias="from")]
Until = Annotated[datetime | None, Query(alias="to")]


class NotLoadingError(TransientError):
    """The loader has no connection to Kafka at the moment: ask again."""


def as_utc(instant: datetime | None, param: str) -> datetime | None:
    """The instant in UTC; one without an offset is taken to be in UTC. Raises QueryRefusedError for one of no use here."""
    if instant is None:
        return None
    if not FIRST_YEAR <= instant.year <= LAST_YEAR:
        raise QueryRefusedError(param, f"`{param}` lies between the years {FIRST_YEAR} and {LAST_YEAR}")
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def micros_of(instant: datetime) -> int:
    """Microseconds since 1970."""
    return (instant - EPOCH) // timedelta(microseconds=1)


def time_range(since: datetime | None, until: datetime | None, step_s: int | None = None) -> TimeRange:
    """The range that a call asks for: the last hour if it says nothing."""
    end = as_utc(until, "to") or datetime.now(UTC)
    return TimeRange.of(as_utc(since, "from") or end - timedelta(hours=1), end, step_s)


def json_response(value: Any) -> Response:
    """The value as JSON; instants as RFC 3339 in UTC."""
    options = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_SERIALIZE_NUMPY
    return Response(orjson.dumps(value, option=options), media_type="application/json")


def bearer_only(token: str) -> Callable[[Request], None]:
    """A dependency that lets only the one token pass."""
    expected = f"Bearer {token}".encode()

    def check(request: Request) -> None:
        given = request.headers.get("authorization", "").encode("latin-1", "replace")
        if not secrets.compare_digest(given, expected):
            raise UnauthorizedError

    return check


async def lag(state: LoaderState) -> dict[str, Any]:
    """What `GET /admin/lag` answers. Asks Kafka for the ends, and sets the gauges by the way."""
    if state.reader is None:
        raise NotLoadingError(state.reason or "the loader is starting")
    partitions = _behind(state, await state.reader.ends())
    return {"partitions": partitions, "event_to_row_ms": event_to_row(state)}


def _behind(state: LoaderState, ends: Mapping[Partition, int]) -> list[dict[str, Any]]:
    partitions = []
    for (topic, partition), end in sorted(ends.items()):
        next_offset = state.next_offsets.get((topic, partition), 0)
        metrics.LAG_RECORDS.labels(topic, partition).set(end - next_offset)
        partitions.append({"topic": topic, "partition": partition, "next": next_offset, "end": end, "lag": end - next_offset})
    return partitions


async def tell_lag(state: LoaderState, lag_s: float | None, ends: Ends) -> None:
    """Set every gauge of the loader's lag. Records behind stay as they were while Kafka is away, or another process loads."""
    event_to_row(state)
    metrics.LAG_SECONDS.set(float("nan") if lag_s is None else lag_s)
    if lag_s is not None and state.next_offsets:
        with suppress(TransientError):
            _behind(state, await ends.ask())


def event_to_row(state: LoaderState) -> dict[str, Any]:
    """Event to queryable row over the last five minutes, in ms."""
    now_s = time.time()
    p50, p99 = state.lag.quantiles((0.5, 0.99), now_s)
    for quantile, value in (("0.5", p50), ("0.99", p99)):
        metrics.EVENT_TO_ROW_MS.labels(quantile).set(float("nan") if value is None else value)
    return {"p50": p50, "p99": p99, "count": state.lag.count(now_s)}


async def counts(warehouse: Warehouse) -> dict[str, dict[str, int]]:
    """Rows and distinct event ids per topic, over all its tables. Rows are counted as queries see them: under FINAL."""
    found: dict[str, dict[str, int]] = {}
    for topic in TOPICS:
        totals = {"rows": 0, "distinct_event_ids": 0}
        for table in tables_of(topic):
            row = (await warehouse.rows(queries("warehouse.sql")[f"counts_{table.name}"]))[0]
            totals = {name: value + int(row[name]) for name, value in totals.items()}
        found[topic] = totals
    return found


def router(warehouse: Warehouse, state: LoaderState) -> APIRouter:
    """The routes under `/admin`."""
    routes = APIRouter(prefix="/admin")

    @routes.get("/lag", response_model=Lag, **operation("ledger.read", "Show how far the loader is"))
    async def show_lag() -> Response:
        """By partition, and from an event to its row over the last minutes."""
        return json_response(await lag(state))

    @routes.get(
        "/counts", response_model=dict[str, TopicCount], **operation("ledger.read", "Count what is loaded of each topic")
    )
    async def show_counts() -> Response:
        """Rows as queries see them, and distinct event ids."""
        return json_response(await counts(warehouse))

    return routes
