"""The wiring of the loader and its API: one process, which owns the embedded ClickHouse."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import APIRouter, FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from schemas.release import alive
from services.analytics import admin_api, dashboard_api, http_errors, internal_api, live_api
from services.analytics.admin_calls import Door, require_permissions
from services.analytics.alerts.loader_lag import LoaderLag
from services.analytics.alerts.wiring import Alerts
from services.analytics.database import Database
from services.analytics.delivery.wiring import Deliveries
from services.analytics.drilldown import api as drilldown_api
from services.analytics.drilldown.peer import Peer
from services.analytics.ends import Ends
from services.analytics.identity import Identity
from services.analytics.live_feed import LiveFeed
from services.analytics.loader import STOP_TIMEOUT_S, Loader, Wiring
from services.analytics.publisher import Publisher
from services.analytics.reader import Limits, Reader
from services.analytics.replies import Replies
from services.analytics.rows.registry import TOPICS
from services.analytics.settings import Settings
from services.analytics.signals.wiring import Rules
from services.analytics.sql_endpoint import http as sql_http
from services.analytics.sql_endpoint.engine import Bounds, Engine
from services.analytics.sql_endpoint.http import SqlEndpoint
from services.analytics.usage_api import wiring as usage
from services.analytics.warehouse import READING_TIMEOUT_S, Warehouse, connector

OPENAPI = "/admin/openapi.json"
LOADING_THREADS = 1
READING_THREADS = 2
READING_PATIENCE_S = 30.0
"""After which a reader is told 503, as ClickHouse hangs or too many ask before them."""


def build(settings: Settings) -> FastAPI:
    """The application. Its lifespan runs the loader; `app.state.loader_task` ends only by stop or by a bug."""
    where = (settings.clickhouse_url, settings.data_dir, settings.clickhouse_database)
    sql = Warehouse(connector(*where, max_threads=READING_THREADS), "sql") if _opens_sql(settings) else None
    writing = Warehouse(connector(*where, max_threads=LOADING_THREADS), "load")
    reading, reporting, listing = (_reading(settings, name) for name in ("read", "report", "list"))
    loader = _loader(settings, writing)
    ends = Ends(loader.state, lambda: Reader(settings.kafka_bootstrap_servers, TOPICS))
    database = Database(settings.database_url)
    judging = Warehouse(connector(*where, max_threads=LOADING_THREADS), "judge")
    rules = Rules(database, judging, settings.analytics_token.get_secret_value())
    alerts = Alerts(settings, database, loader.state, rules.book.receivers)
    schedule = rules.schedule(alerts.desk)
    deliveries = Deliveries(settings, reading, lambda: rules.book.rules.receivers, os.environ)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await database.open()
        app.state.loader_task = asyncio.create_task(loader.run())
        rules.start(schedule)
        alerts.start()
        await deliveries.start()
        yield
        await rules.stop()
        await alerts.stop()
        await deliveries.stop()
        await _stop(loader, app.state.loader_task)
        for opened in (ends, identity, edge, settlement, reading, reporting, listing, judging, sql, writing, database):
            if opened is not None:
                await opened.close()

    app = FastAPI(
        title="Tollbook analytics, admin API",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=OPENAPI,
        generate_unique_id_function=lambda route: route.name,
    )
    http_errors.install(app)
    identity = Identity(settings.edge_url, settings.analytics_token.get_secret_value())
    edge, settlement = Peer("edge", settings.edge_url), Peer("settlement", settings.settlement_url)
    app.add_middleware(Door, settings.admin_token.get_secret_value(), identity)
    app.add_middleware(Replies, http_errors.fault)
    app.include_router(admin_api.router(reading, loader.state))
    for routes in (*alerts.routers(), *rules.routers(schedule), *deliveries.routers()):
        app.include_router(routes)
    app.state.live = LiveFeed(settings.kafka_bootstrap_servers)
    app.include_router(live_api.router(app.state.live))
    drilldown = drilldown_api.router(reading, listing, edge, settlement)
    for routes in (dashboard_api.data_router(reading), drilldown, *_usage(settings, reading, reporting)):
        app.include_router(routes)
    dashboard_api.add_page(app)
    if sql is not None:
        bounds = Bounds(seconds=settings.sql_seconds, rows=settings.sql_rows, memory_bytes=settings.sql_memory_bytes)
        engine = Engine(sql, settings.clickhouse_database, bounds)
        sql_http.install(app, SqlEndpoint(engine, settings.sql_token.get_secret_value(), settings.clickhouse_database))
    _add_health(app, loader, ends)
    require_permissions(app)
    return app


def _usage(settings: Settings, reading: Warehouse, reporting: Warehouse) -> tuple[APIRouter, ...]:
    """What is used, for people and for edge. Reports and explanations, which take their time, hold up only one another."""
    token = settings.edge_token.get_secret_value()
    return *usage.routers(reporting, token), internal_api.router(reading, token)


def _reading(settings: Settings, name: str) -> Warehouse:
    """What asks the warehouse for those who ask us."""
    where = (settings.clickhouse_url, settings.data_dir, settings.clickhouse_database)
    connect = connector(*where, max_threads=READING_THREADS, timeout_s=READING_TIMEOUT_S)
    return Warehouse(connect, name, patience_s=READING_PATIENCE_S)


def _loader(settings: Settings, warehouse: Warehouse) -> Loader:
    """What reads Kafka and writes the warehouse."""
    return Loader(
        Wiring(
            database_url=settings.database_url,
            warehouse=warehouse,
            new_reader=lambda: Reader(settings.kafka_bootstrap_servers, TOPICS),
            new_publisher=lambda: Publisher(settings.kafka_bootstrap_servers, "analytics-loader"),
            limits=Limits(flush_seconds=settings.flush_seconds, rows=settings.batch_rows),
            layout=settings.layout,
            keep_days=settings.clickhouse_keep_days,
        )
    )


def _opens_sql(settings: Settings) -> bool:
    """Whether readers come to us: a server of its own is asked directly."""
    return bool(settings.sql_token.get_secret_value()) and not settings.clickhouse_url


async def _stop(loader: Loader, task: asyncio.Task[None]) -> None:
    """Let the batch under way finish; a loader that waits for something is ended at once, as by a crash."""
    loader.stop()
    if loader.state.reason is None:
        await asyncio.wait({task}, timeout=STOP_TIMEOUT_S)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _add_health(app: FastAPI, loader: Loader, ends: Ends) -> None:
    loader_lag = LoaderLag(loader.state)

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        return admin_api.json_response(alive())

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        if (trouble := loader.state.trouble(time.time())) is None:
            return admin_api.json_response({"ready": True})
        response = admin_api.json_response({"ready": False, "reason": trouble})
        response.status_code = 503
        return response

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        await admin_api.tell_lag(loader.state, loader_lag.seconds(), ends)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
