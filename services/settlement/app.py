"""The API's composition root: settings, database, price books, control topic, routes."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import structlog
import uvicorn
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from psycopg_pool import ConnectionPool, PoolTimeout
from starlette.exceptions import HTTPException

from schemas.calls import HoldRequest
from schemas.release import alive
from services.settlement import ingress, metrics
from services.settlement.admin_api import admin_router
from services.settlement.admin_calls import AdminCall, Door, require_permissions
from services.settlement.allowed_methods import allowed_methods
from services.settlement.audit.audit_store import AuditLog
from services.settlement.audit.process import AuditProcesses
from services.settlement.audit_api import audit_router
from services.settlement.audit_log_api import audit_log_router
from services.settlement.book_store import BookStore
from services.settlement.case_api import case_router, letter_entry
from services.settlement.coalescer import Coalescer
from services.settlement.control import ControlReader, Frozen
from services.settlement.correction_store import CaseTerms
from services.settlement.database import configure_json, options
from services.settlement.edge_accounts import EdgeAccounts
from services.settlement.entities import Entities
from services.settlement.errors import ApiError
from services.settlement.faults import Faults
from services.settlement.garbage import calm
from services.settlement.hold_store import HoldLane
from services.settlement.http_edges import Asgi, Receive, Scope, Send, Tokens, api_error, bounded
from services.settlement.identity import Identity
from services.settlement.internal_api import InternalApi
from services.settlement.logs import configure_logs
from services.settlement.partitions import partitions_of
from services.settlement.price_api import price_router
from services.settlement.price_file import parse_book
from services.settlement.receipt_api import ReceiptApi
from services.settlement.reconcile_api import reconcile_router
from services.settlement.redriving import Redriver
from services.settlement.report_api import report_router
from services.settlement.request_api import request_router
from services.settlement.serving import Server, inherited, until_ready
from services.settlement.settings import Settings
from services.settlement.signals import end_without_signal
from services.settlement.signed_receipt import ReceiptSigner
from services.settlement.webhook_api import webhook_router

log = structlog.get_logger(__name__)
WATCH_INTERVAL_S = 1.0
OPENAPI = "/admin/openapi.json"
STALE_AFTER_S = 5.0
"""How long the database may have been silent before the process calls itself not ready."""


class SettlementApi:
    """Everything that the API process holds, started and stopped together."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
            settings.database_url,
            min_size=1,
            max_size=8,
            timeout=5,
            max_waiting=200,
            open=False,
            kwargs={
                "autocommit": True,
                "options": options(settings.statement_timeout_ms),
                "connect_timeout": 5,
                "application_name": "settlement-api",
            },
        )
        self.books = BookStore(self.pool.connection)
        self.frozen = Frozen()
        # Without an edge to ask, what it announces on the control topic is all that is known of accounts.
        wired = settings.edge_url and settings.settlement_token
        self.edge_accounts = EdgeAccounts(settings.edge_url, settings.settlement_token) if wired else None
        self.entities = Entities(self.edge_accounts.exists if self.edge_accounts else None)
        self.control = ControlReader(settings.kafka_bootstrap_servers, self.frozen.apply, self.entities.apply)
        self.gate = ingress.IngressGate(max_age_seconds=settings.ingress_max_age_seconds, max_rows=settings.ingress_max_rows)
        self._lanes = [
            HoldLane(
                settings.database_url,
                books=self.books,
                stop=self.frozen.stop,
                default_output=settings.default_output_tokens,
                floor_output=settings.floor_output_tokens,
                timeout_ms=settings.statement_timeout_ms,
            )
            for _ in range(settings.hold_lanes)
        ]
        self.holds: Coalescer[HoldRequest, dict[str, Any]] = Coalescer(
            [lane.place for lane in self._lanes], limit=settings.hold_batch, capacity=settings.hold_queue
        )
        self.audits = AuditProcesses(self._audit_lost)
        self.identity = Identity(settings.edge_url, settings.settlement_token)
        self._tasks: list[asyncio.Task[None]] = []
        self._database_seen = 0.0

    async def start(self) -> None:
        """Open the database, read the price book, follow the control topic."""
        await asyncio.to_thread(self.pool.open, wait=True, timeout=30)
        await asyncio.to_thread(self._prepare_book)
        self.holds.start()
        self._tasks = [asyncio.create_task(self.control.run()), asyncio.create_task(self._watch())]

    async def stop(self) -> None:
        """Finish the holds under way, then close."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.holds.stop()
        await self.audits.stop()
        await self.identity.close()
        if self.edge_accounts is not None:
            self.edge_accounts.close()
        for lane in self._lanes:
            await lane.close()
        await asyncio.to_thread(self.pool.close)

    def not_ready(self) -> str | None:
        """Why the process cannot do its work now, or None."""
        if not self.control.ready.is_set():
            return "the control topic is not read to its end"
        if self.control.silent_s > self._settings.control_silent_seconds:
            return f"the control topic was not read to its end for {self.control.silent_s:.0f} s"
        if time.monotonic() - self._database_seen > STALE_AFTER_S:
            return "the database does not answer"
        return None

    async def end_offsets(self, topic: str) -> Mapping[int, int] | None:
        """Where the topic's partitions end; None while Kafka does not answer."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._settings.kafka_bootstrap_servers, enable_auto_commit=False)
        try:
            async with asyncio.timeout(5):
                await consumer.start()
                ends = await consumer.end_offsets(partitions_of(topic))
        except (KafkaError, TimeoutError) as error:
            log.warning("end_offsets_unknown", error=type(error).__name__)
            return None
        finally:
            with suppress(KafkaError):
                await consumer.stop()
        return {partition.partition: end for partition, end in ends.items()}

    def redriver(self, connection: psycopg.Connection[Any], call: AdminCall) -> Redriver:
        """Reads dead letters again for a call, with the price books that are known here."""
        owner, days = self._settings.case_owner, self._settings.case_max_age_days
        noted = partial(letter_entry, call)
        return Redriver(connection, book_of=self.books.version, case_owner=owner, case_max_age_days=days, noted=noted)

    def _audit_lost(self, audit_id: UUID, status: int) -> None:
        with self.pool.connection() as connection:
            AuditLog(connection, audit_id).failed(f"its process ended with status {status}: its log says why")

    def _prepare_book(self) -> None:
        self.books.refresh()
        file = self._settings.price_book_file
        if file and not self.books.known:
            self.books.publish(parse_book(Path(file).read_text("utf-8")))

    async def _watch(self) -> None:
        """Look at the ingress table every second: it says whether the database answers and whether the log does."""
        while True:
            try:
                await asyncio.to_thread(self._look)
                self._database_seen = time.monotonic()
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("database_silent", error=type(error).__name__)
            await asyncio.sleep(WATCH_INTERVAL_S)

    def _look(self) -> None:
        with self.pool.connection() as connection:
            ingress.look(connection, self.gate)
        metrics.INGRESS_ROWS.set(self.gate.rows)


def build(settings: Settings) -> Asgi:
    """The ASGI application: the plain internal routes in front, FastAPI for the rest."""
    configure_json()
    service = SettlementApi(settings)
    fast = Door(bounded(_fastapi(service, settings)), Tokens([settings.admin_token]), service.identity)
    internal = InternalApi(
        holds=service.holds,
        connect=service.pool.connection,
        books=service.books,
        gate=service.gate,
        receipts=ReceiptApi(
            service.pool.connection, service.books, ReceiptSigner(settings.signer(), service.books), published_keys(settings)
        ),
        router=Tokens([settings.router_token]),
        services=Tokens([settings.edge_token, settings.router_token]),
    )

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/internal/"):
            await internal(scope, receive, send)
        else:
            await fast(scope, receive, send)

    return application


def published_keys(settings: Settings) -> list[dict[str, str]]:
    """The public keys that anybody may check receipts and checkpoints with: today's first, then those that it replaced."""
    signer = settings.signer()
    today = signer.public.id if signer else None
    return [key.described("current" if key.id == today else "former") for key in settings.public_keys().values()]


def _fastapi(service: SettlementApi, settings: Settings) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        calm()
        if settings.listen_fd is not None:
            await until_ready(service.not_ready)
        yield
        await service.stop()

    app = FastAPI(
        title="Tollbook settlement, admin API",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=OPENAPI,
        generate_unique_id_function=lambda route: route.name,
    )
    terms = CaseTerms(owner=settings.case_owner, max_age_days=settings.case_max_age_days)
    connect = service.pool.connection
    app.include_router(admin_router(connect=connect, books=service.books, entities=service.entities, ends=service, terms=terms))
    app.include_router(price_router(connect=connect, books=service.books))
    app.include_router(report_router(connect))
    app.include_router(case_router(connect=connect, redriver=service.redriver))
    app.include_router(reconcile_router(connect))
    app.include_router(request_router(connect))
    app.include_router(audit_router(connect=connect, processes=service.audits))
    app.include_router(audit_log_router(connect))
    refusal_of = service.entities.account_refusal if service.edge_accounts else None
    webhooks = webhook_router(connect, service.books, terms, settings.stripe_webhook_secret, refusal_of)
    app.include_router(webhooks, include_in_schema=False)
    require_permissions(app)
    _errors(app)
    _health(app, service)
    return app


def _errors(app: FastAPI) -> None:
    async def ours(_: Request, error: Exception) -> Response:
        refusal = api_error(error)
        headers = {"retry-after": "1"} if refusal.status == 503 else None
        return JSONResponse(refusal.body(), status_code=refusal.status, headers=headers)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"][1:])
        status = 400 if first["type"] == "json_invalid" else 422
        body = {
            "message": f"{param}: {first['msg']}",
            "type": "invalid_request_error",
            "param": param,
            "code": "invalid_request",
        }
        return JSONResponse({"error": body}, status_code=status)

    async def plain(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        body = {"message": error.detail, "type": "invalid_request_error", "param": None, "code": code}
        headers = {"allow": ", ".join(allowed_methods(request))} if error.status_code == 405 else None
        return JSONResponse({"error": body}, status_code=error.status_code, headers=headers)

    app.add_middleware(Faults, ours)
    for kind in (ApiError, psycopg.Error, PoolTimeout):
        app.add_exception_handler(kind, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, plain)


def _health(app: FastAPI, service: SettlementApi) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, Any]:
        return alive()

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        reason = service.not_ready()
        if reason is None:
            return JSONResponse({"ready": True})
        return JSONResponse({"ready": False, "reason": reason}, status_code=503)

    @app.get("/metrics", include_in_schema=False)
    async def metrics_text() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def run(settings: Settings) -> None:
    """Serve until SIGTERM."""
    configure_logs()
    end_without_signal()
    config = uvicorn.Config(
        build(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=10,
    )
    Server(config).run(inherited(settings.listen_fd))
