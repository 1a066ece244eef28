"""The operator's calls, the model list, and the probes: everything that is not on the hot path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import structlog
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import ValidationError

from schemas.plans import PlanAsk
from services.router.announcer import announce_version
from services.router.answers import error_document
from services.router.catalog import Model
from services.router.channel_gauges import show
from services.router.errors import LogUnavailableError, RefusalError, TableMovedError, TableRejectedError
from services.router.health import Health
from services.router.planner import Planner
from services.router.price_feed import PriceFeed
from services.router.publisher import Publisher
from services.router.resealing import Resealer
from services.router.route_files import RouteFiles
from services.router.route_store import RouteStore
from services.router.table import TABLE_BYTES_MAX, parse_table
from services.router.tables import Tables
from services.router.tokens import bears

log = structlog.get_logger(__name__)


class AdminDesk:
    """The handlers and what they need. `unready` gives the reason why the process cannot work yet, None when it can."""

    def __init__(
        self,
        *,
        store: RouteStore,
        files: RouteFiles,
        planner: Planner,
        prices: PriceFeed,
        resealer: Resealer,
        tables: Tables,
        health: Health,
        publisher: Publisher,
        admin_token: bytes,
        edge_token: bytes,
        unready: Callable[[], str | None],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._files = files
        self._planner = planner
        self._prices = prices
        self._resealer = resealer
        self._tables = tables
        self._health = health
        self._publisher = publisher
        self._admin_token = admin_token
        self._edge_token = edge_token
        self._unready = unready
        self._clock = clock

    def require_admin(self, request: Request) -> None:
        """Let only the operator pass."""
        self._require(request, self._admin_token)

    def require_edge(self, request: Request) -> None:
        """Let only edge pass."""
        self._require(request, self._edge_token)

    async def post_routes(self, request: Request) -> Response:
        """Put a table in force, with `?expected_version=` only in place of that one.

        The same content again changes nothing and is announced again.
        """
        try:
            table = await self._files.filled(parse_table(await _bounded_body(request)))
            version = await self._store.save(table, _expected(request))
        except TableRejectedError as exc:
            return _error(422, "invalid_route_table", str(exc))
        except TableMovedError as exc:
            return _error(409, "route_table_moved", str(exc))
        await self._tables.reload(version)
        try:
            await announce_version(self._publisher, version)
        except LogUnavailableError as exc:
            message = (
                f"Version {version} is stored and in force here, but other instances were not told ({exc}). Post it again."
            )
            return _error(503, "log_unavailable", message)
        channels = self._tables.catalog.channels.values()
        faults = [{"channel": c.id, "out_of_service": not c.keys, "reason": c.fault} for c in channels if c.fault]
        return JSONResponse({"version": version, "faults": faults})

    async def get_routes(self) -> Response:
        """The table in force, without secrets."""
        stored = await self._store.load()
        return JSONResponse({"version": stored.version, "table": stored.document})

    async def get_export(self) -> Response:
        """The table in force as it can be posted again: its secrets by their fingerprints."""
        exported = await self._files.export()
        return JSONResponse({"version": exported.version, "table": exported.table})

    async def post_diff(self, request: Request) -> Response:
        """What a table would change, if it were posted."""
        try:
            version, found = await self._files.diff(parse_table(await _bounded_body(request)))
        except TableRejectedError as exc:
            return _error(422, "invalid_route_table", str(exc))
        return JSONResponse({"version": version, "changes": [change._asdict() for change in found]})

    async def post_plan(self, request: Request) -> Response:
        """Where a request would go, and why."""
        try:
            asked = PlanAsk.model_validate_json(await _bounded_body(request))
            await self._prices.refresh()
            return JSONResponse(self._planner.explain(asked))
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_input=False)[0]
            return _error(422, "invalid_value", f"{'.'.join(map(str, first['loc'])) or 'The body'}: {first['msg']}.")
        except RefusalError as exc:
            return JSONResponse(error_document(exc.status, exc.code, exc.message, exc.param, exc.facts), exc.status)

    async def get_channels(self) -> Response:
        """Each channel's health in this process."""
        now = self._clock()
        data = [
            {
                **{"id": c.id, "route_type": c.route_type, "brand": c.brand, "origin": c.origin},
                **{"out_of_service": not c.keys, "fault": c.fault, **self._health.of(c).described(now, c.limits)},
            }
            for c in self._tables.catalog.channels.values()
        ]
        return JSONResponse({"version": self._tables.catalog.version, "data": data})

    async def get_secrets(self) -> Response:
        """Under which keys secrets are sealed: a former key that none is under any more may be forgotten."""
        return JSONResponse({"current_key_id": self._resealer.key_id, "sealed": await self._resealer.held()})

    async def post_reseal(self) -> Response:
        """Seal every stored secret under the current key."""
        done = await self._resealer.run()
        log.info("secrets_resealed", key_id=done.key_id, resealed=done.resealed, unreadable=len(done.unreadable))
        return JSONResponse(done._asdict())

    async def get_models(self) -> Response:
        """What clients may ask for, and by which routes."""
        return JSONResponse({"data": [_described(model) for model in self._tables.catalog.models.values()]})

    async def healthz(self) -> Response:
        """The process runs."""
        return JSONResponse({"status": "ok"})

    async def readyz(self) -> Response:
        """The process can do its work."""
        reason = self._unready()
        return JSONResponse({"ready": True}) if reason is None else JSONResponse({"ready": False, "reason": reason}, 503)

    async def metrics(self) -> Response:
        """Prometheus text."""
        show(self._tables.catalog, self._health, self._clock())
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @staticmethod
    def _require(request: Request, token: bytes) -> None:
        if not bears(request.headers.get("authorization"), token):
            raise HTTPException(401, "This endpoint wants the token of a caller that may use it.")


def build_admin(desk: AdminDesk) -> FastAPI:
    """The application for everything but the hot path."""
    app = FastAPI(title="Tollbook router", docs_url=None, redoc_url=None, openapi_url=None)
    admin, edge = [Depends(desk.require_admin)], [Depends(desk.require_edge)]
    app.add_api_route("/admin/routes", desk.post_routes, methods=["POST"], dependencies=admin)
    app.add_api_route("/admin/routes", desk.get_routes, methods=["GET"], dependencies=admin)
    app.add_api_route("/admin/routes/export", desk.get_export, methods=["GET"], dependencies=admin)
    app.add_api_route("/admin/routes/diff", desk.post_diff, methods=["POST"], dependencies=admin)
    app.add_api_route("/admin/route-plan", desk.post_plan, methods=["POST"], dependencies=admin)
    app.add_api_route("/internal/route-plan", desk.post_plan, methods=["POST"], dependencies=edge)
    app.add_api_route("/admin/channels", desk.get_channels, methods=["GET"], dependencies=admin)
    app.add_api_route("/admin/secrets", desk.get_secrets, methods=["GET"], dependencies=admin)
    app.add_api_route("/admin/secrets/reseal", desk.post_reseal, methods=["POST"], dependencies=admin)
    app.add_api_route("/internal/models", desk.get_models, methods=["GET"], dependencies=edge)
    app.add_api_route("/healthz", desk.healthz, methods=["GET"])
    app.add_api_route("/readyz", desk.readyz, methods=["GET"])
    app.add_api_route("/metrics", desk.metrics, methods=["GET"])
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(404, _http_error)
    app.add_exception_handler(405, _http_error)
    app.add_exception_handler(psycopg.Error, _database_error)
    app.add_exception_handler(Exception, _internal_error)
    return app


async def _bounded_body(request: Request) -> bytes:
    parts = bytearray()
    async for part in request.stream():
        parts += part
        if len(parts) > TABLE_BYTES_MAX:
            raise TableRejectedError(f"a route table has at most {TABLE_BYTES_MAX} bytes")
    return bytes(parts)


def _expected(request: Request) -> int | None:
    text = request.query_params.get("expected_version")
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise TableRejectedError("expected_version is not the number of a version")
    return int(text)


async def _http_error(_: Request, exc: Exception) -> Response:
    status = getattr(exc, "status_code", 500)
    codes = {401: "unauthorized", 404: "not_found", 405: "method_not_allowed"}
    return _error(status, codes.get(status, "invalid_request"), str(getattr(exc, "detail", "")))


async def _database_error(_: Request, exc: Exception) -> Response:
    log.error("database_unavailable", reason=type(exc).__name__)
    return _error(503, "database_unavailable", "The database did not answer. Try again shortly.")


async def _internal_error(_: Request, exc: Exception) -> Response:
    log.error("request_failed", reason=type(exc).__name__)
    return _error(503, "internal_error", "Something went wrong here; the log tells what. Try again shortly.")


def _error(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse(error_document(status, code, message), status)


def _described(model: Model) -> dict[str, Any]:
    return {
        "id": model.id,
        "owned_by": model.owned_by,
        "created": model.created,
        "max_input_tokens": model.max_input_tokens,
        "max_output_tokens": model.max_output_tokens,
        "mode": model.mode,
        "drains": all(place.channel.on_disconnect == "drain" for place in model.places),
        "routes": [place.candidate for place in model.places],
    }
