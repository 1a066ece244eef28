"""The operator's calls about the whole table, the model list, and the probes: everything that is not on the hot path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import structlog
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import ValidationError

from schemas.plans import PlanAsk
from schemas.release import alive
from services.router.admin_models import ChannelStates, Resealing, RoutePlan, SecretsHeld, StoredTable, TableDiff, TableInForce
from services.router.admin_routes import AdminRoutes, body_of, bounded_body, described, told_as
from services.router.catalog import Channel, Model
from services.router.channel_gauges import show
from services.router.entity_admin import EntityDesk, add_entities, faults
from services.router.errors import AdminError, TableRejectedError
from services.router.freeze_store import shown
from services.router.guard import Guard, who_of
from services.router.health import Health
from services.router.planner import Planner
from services.router.price_feed import PriceFeed
from services.router.resealing import Resealer
from services.router.route_files import RouteFiles
from services.router.route_store import RouteStore
from services.router.table import RouteTable, parse_table
from services.router.table_writing import TableWriter
from services.router.tables import Tables
from services.router.tokens import bears

YAML, JSON = "application/yaml", "application/json"
CHANNELS_MAX = 1_000
"""As many as a table may have: one page shows them all."""
READER = ThreadPoolExecutor(1, "route-table")
"""Reads posted tables; the loop's own threads belong to other work."""
log = structlog.get_logger(__name__)


class AdminDesk:
    """The handlers and what they need. `unready` gives the reason why the process cannot work yet, None when it can."""

    def __init__(
        self,
        *,
        store: RouteStore,
        files: RouteFiles,
        writer: TableWriter,
        planner: Planner,
        prices: PriceFeed,
        resealer: Resealer,
        tables: Tables,
        health: Health,
        edge_token: bytes,
        unready: Callable[[], str | None],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._files = files
        self._writer = writer
        self._planner = planner
        self._prices = prices
        self._resealer = resealer
        self._tables = tables
        self._health = health
        self._edge_token = edge_token
        self._unready = unready
        self._clock = clock

    def require_edge(self, request: Request) -> None:
        """Let only edge pass."""
        if not bears(request.headers.get("authorization"), self._edge_token):
            raise HTTPException(401, "This endpoint wants the token of a caller that may use it.")

    async def post_routes(self, request: Request) -> Response:
        """Put a table in force, with `?expected_version=` only in place of that one.

        The same content again changes nothing and is announced again.
        """
        expected = _expected(request)
        version = await self._writer.replace(await _table_of(request), who_of(request), expected)
        return JSONResponse({"version": version, "faults": faults(self._tables.catalog)})

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
        version, found = await self._files.diff(await _table_of(request))
        return JSONResponse({"version": version, "changes": [change._asdict() for change in found]})

    async def post_plan(self, request: Request) -> Response:
        """Where a request would go, and why."""
        try:
            asked = PlanAsk.model_validate_json(await bounded_body(request))
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_input=False)[0]
            message = f"{'.'.join(map(str, first['loc'])) or 'The body'}: {first['msg']}."
            raise AdminError(422, "invalid_value", message) from None
        await self._prices.refresh()
        return JSONResponse(self._planner.explain(asked))

    async def get_channels(
        self,
        after: Annotated[str | None, Query(max_length=128)] = None,
        limit: Annotated[int, Query(ge=1, le=CHANNELS_MAX)] = CHANNELS_MAX,
    ) -> Response:
        """List each channel's health in this process, by id."""
        catalog, now = self._tables.catalog, self._clock()
        ids = sorted(id_ for id_ in catalog.channels if after is None or id_ > after)
        data = [self._state(catalog.channels[id_], now) for id_ in ids[:limit]]
        next_after = ids[limit - 1] if len(ids) > limit else None
        return JSONResponse({"object": "list", "version": catalog.version, "data": data, "next_after": next_after})

    def _state(self, channel: Channel, now: float) -> dict[str, Any]:
        frozen = self._health.freezes.channels.get(channel.id)
        decision = None if frozen is None else {"object": "channel_freeze", **shown(frozen)}
        return {
            **{"id": channel.id, "route_type": channel.route_type, "brand": channel.brand, "origin": channel.origin},
            **{"out_of_service": not channel.keys, "fault": channel.fault, "frozen": frozen is not None, "freeze": decision},
            **self._health.of(channel).described(now, channel.limits),
        }

    async def get_secrets(self) -> Response:
        """Under which keys secrets are sealed: a former key that none is under any more may be forgotten."""
        return JSONResponse({"current_key_id": self._resealer.key_id, "sealed": await self._resealer.held()})

    async def post_reseal(self, request: Request) -> Response:
        """Seal every stored secret under the current key."""
        done = await self._resealer.run(who_of(request))
        log.info("secrets_resealed", key_id=done.key_id, resealed=done.resealed, unreadable=len(done.unreadable))
        return JSONResponse(done._asdict())

    async def get_models(self) -> Response:
        """What clients may ask for, and by which routes."""
        return JSONResponse({"data": [_described(model) for model in self._tables.catalog.models.values()]})

    async def healthz(self) -> Response:
        """The process runs."""
        return JSONResponse(alive())

    async def readyz(self) -> Response:
        """The process can do its work."""
        reason = self._unready()
        return JSONResponse({"ready": True}) if reason is None else JSONResponse({"ready": False, "reason": reason}, 503)

    async def metrics(self) -> Response:
        """Prometheus text."""
        show(self._tables.catalog, self._health, self._clock())
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def build_admin(desk: AdminDesk, entities: EntityDesk, guard: Guard) -> FastAPI:
    """The application for everything but the hot path."""
    app = FastAPI(title="Tollbook router, admin API", docs_url=None, redoc_url=None, openapi_url=None)
    routes, edge = AdminRoutes(app, guard), [Depends(desk.require_edge)]
    table, ask = body_of("RouteTable", YAML, JSON), body_of("PlanAsk", JSON)
    expected = {"name": "expected_version", "in": "query", "required": False, "schema": {"type": "integer", "minimum": 0}}
    posted: dict[str, Any] = {**table, "parameters": [expected]}
    routes.add(
        "POST", "/admin/routes", desk.post_routes, permission="route.write", model=TableInForce, errors=(409, 422), extra=posted
    )
    routes.add("GET", "/admin/routes", desk.get_routes, permission="route.read", model=StoredTable)
    routes.add("GET", "/admin/routes/export", desk.get_export, permission="route.read", model=StoredTable)
    diff = "/admin/routes/diff"
    routes.add("POST", diff, desk.post_diff, permission="route.read", model=TableDiff, errors=(422,), extra=table)
    plan, plan_errors = "/admin/route-plan", (403, 404, 422)
    routes.add("POST", plan, desk.post_plan, permission="route.read", model=RoutePlan, errors=plan_errors, extra=ask)
    routes.add("GET", "/admin/channels", desk.get_channels, permission="route.read", model=ChannelStates, errors=(422,))
    add_entities(routes, entities)
    routes.add("GET", "/admin/secrets", desk.get_secrets, permission="route.read", model=SecretsHeld)
    routes.add("POST", "/admin/secrets/reseal", desk.post_reseal, permission="secret.write", model=Resealing)
    for path, handler, method in (("route-plan", desk.post_plan, "POST"), ("models", desk.get_models, "GET")):
        app.add_api_route(
            f"/internal/{path}", handler, methods=[method], dependencies=edge, include_in_schema=False, name=f"internal_{path}"
        )
    for path, probe in (("/healthz", desk.healthz), ("/readyz", desk.readyz), ("/metrics", desk.metrics)):
        app.add_api_route(path, probe, methods=["GET"], include_in_schema=False)

    async def openapi() -> Response:
        return JSONResponse(described(app))

    app.add_api_route(
        "/admin/openapi.json", openapi, methods=["GET"], dependencies=[Depends(guard.anybody)], include_in_schema=False
    )
    told_as(app)
    return app


def _expected(request: Request) -> int | None:
    text = request.query_params.get("expected_version")
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise TableRejectedError("expected_version is not the number of a version")
    return int(text)


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


async def _table_of(request: Request) -> RouteTable:
    """The table in the body, read beside the event loop, one at a time: requests go on meanwhile."""
    text = await bounded_body(request)
    return await asyncio.get_running_loop().run_in_executor(READER, parse_table, text)
