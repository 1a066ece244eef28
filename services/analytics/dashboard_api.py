"""The dashboard: one page without a login of its own, and the data that it asks for with the reader's token."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from services.analytics import dashboard, metrics
from services.analytics.admin_api import Since, Until, json_response, time_range
from services.analytics.admin_calls import operation
from services.analytics.admin_models import Series, Tables
from services.analytics.sqlfile import queries
from services.analytics.timerange import TimeRange
from services.analytics.warehouse import Warehouse

STATIC_DIR = Path(__file__).parent / "static"
KEYS_SHOWN = 20
MODELS_SHOWN = 50
FILES = {"raw": "dashboard_raw.sql", "minute": "dashboard.sql", "hour": "dashboard.sql"}
POLICY = {
    **dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors", "object-src"), "'none'"),
    **dict.fromkeys(("script-src", "style-src", "connect-src"), "'self'"),
    "style-src-attr": "'unsafe-inline'",  # the chart library's tooltips carry their looks
    "img-src": "'self' data:",
}
"""What the page may do: nothing that is not named. Its own scripts alone run, and nothing leaves for elsewhere."""
FILE_HEADERS = {"x-content-type-options": "nosniff", "cache-control": "no-cache"}
PAGE_HEADERS = FILE_HEADERS | {
    "content-security-policy": "; ".join(f"{what} {where}" for what, where in POLICY.items()),
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
ProjectId = Annotated[str, Query(max_length=128, description="Only this project.")]
KeyId = Annotated[str, Query(max_length=128, description="Only this key.")]
Tag = Annotated[str, Query(max_length=300, pattern="^$|^[^=]+=.*$", description="Only requests with this tag: `name=value`.")]
Step = Annotated[int | None, Query(ge=1, le=31_536_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Whose requests are shown; empty means everybody's."""

    project_id: str = ""
    key_id: str = ""
    tag: str = ""


class Panels:
    """The dashboard's data, straight from ClickHouse."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    async def series(self, time: TimeRange, only: Filter) -> dict[str, Any]:
        """What is drawn over time. `times` are the beginnings of the steps, in seconds since 1970."""
        requests = dashboard.requests_over_time(await self._rows("requests_over_time", time, only), time)
        tokens = dashboard.tokens_over_time(await self._rows("tokens_over_time", time, only), time)
        spend = await self._rows("spend_over_time", time, only)
        fallbacks = dashboard.fallbacks_over_time(await self._rows("fallbacks_over_time", time, only), time)
        latency = await self._rows("latency_over_time", time, only)
        return {
            "from": time.since_s,
            "to": time.until_s,
            "step_seconds": time.step_s,
            "times": time.buckets,
            "requests": requests,
            "tokens": tokens,
            "spend": dashboard.spend_over_time(spend, time),
            "spend_by_route": dashboard.spend_by_route(spend),
            "fallbacks": fallbacks,
            "latency_ms": dashboard.quantiles_over_time(latency, "latency", time),
            "ttft_ms": dashboard.quantiles_over_time(latency, "ttft", time),
            "totals": dashboard.totals(requests, tokens, fallbacks),
        }

    async def tables(self, time: TimeRange, only: Filter) -> dict[str, Any]:
        """What is listed: channels with their errors, the keys that used most, latency over the whole range."""
        keys = await self._rows("top_keys", time, only, limit=KEYS_SHOWN)
        spend = await self._rows("spend_by_key", time, only, key_ids=[row["key_id"] for row in keys])
        return {
            "from": time.since_s,
            "to": time.until_s,
            "errors_by_channel": dashboard.errors_by_channel(await self._rows("attempts_by_channel", time, only)),
            "top_keys": dashboard.top_keys(keys, spend),
            "spend_by_model": dashboard.spend_by_model(await self._rows("spend_by_model", time, only, limit=MODELS_SHOWN)),
            "latency": (await self._rows("latency", time, only))[0],
        }

    async def _rows(self, name: str, time: TimeRange, only: Filter, **parameters: Any) -> list[dict[str, Any]]:
        sql = queries(FILES[time.grain])[name]
        with metrics.QUERY_SECONDS.labels(name).time():
            return await self._warehouse.rows(sql, {**time.parameters, **asdict(only), **parameters})


def data_router(warehouse: Warehouse) -> APIRouter:
    """`GET /admin/dashboard/series` and `/tables`, each with `from`, `to` and `step`."""
    panels = Panels(warehouse)
    routes = APIRouter(prefix="/admin/dashboard")

    @routes.get("/series", response_model=Series, **operation("ledger.read", "Show the dashboard's charts"))
    async def show_series(  # noqa: PLR0917 - FastAPI passes them by name
        since: Since = None,
        until: Until = None,
        step: Step = None,
        project_id: ProjectId = "",
        key_id: KeyId = "",
        tag: Tag = "",
    ) -> Response:
        """What is drawn over time: the last hour if nothing is said."""
        only = Filter(project_id=project_id, key_id=key_id, tag=tag)
        return json_response(await panels.series(time_range(since, until, step), only))

    @routes.get("/tables", response_model=Tables, **operation("ledger.read", "Show the dashboard's tables"))
    async def show_tables(  # noqa: PLR0917 - FastAPI passes them by name
        since: Since = None,
        until: Until = None,
        step: Step = None,
        project_id: ProjectId = "",
        key_id: KeyId = "",
        tag: Tag = "",
    ) -> Response:
        """Channels with their errors, what models cost, the keys that used most, latency over the whole range."""
        only = Filter(project_id=project_id, key_id=key_id, tag=tag)
        return json_response(await panels.tables(time_range(since, until, step), only))

    return routes


class PageFiles(StaticFiles):
    """The page's files, never read as another type than ours, and asked for anew after an upgrade."""

    def file_response(self, *args: Any, **named: Any) -> Response:
        """One file, or that it has not changed."""
        response = super().file_response(*args, **named)
        response.headers.update(FILE_HEADERS)
        return response


def add_page(app: FastAPI) -> None:
    """`GET /dashboard` and its files. The page holds no data: it asks for a token and keeps it in the browser's tab."""

    @app.get("/dashboard", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(STATIC_DIR / "dashboard.html", headers=PAGE_HEADERS)

    app.mount("/dashboard/static", PageFiles(directory=STATIC_DIR))
