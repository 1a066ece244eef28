"""The batch worker's composition root: a router without its endpoint, fed by files."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from uuid import uuid4

import httpx
import structlog
import uvicorn
import uvloop
from aiokafka.errors import KafkaError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from schemas.calls import ClaimResult, HoldClaim
from schemas.dead import DeadLetter
from schemas.envelope import TYPE_HEADER
from schemas.topics import DEAD, REQUESTS
from services.router.app import APIS, Router
from services.router.batch.callers import Callers
from services.router.batch.intake import Intake
from services.router.batch.line_work import LineWork
from services.router.batch.object_store import Objects
from services.router.batch.runner import Runner, RunnerLimits
from services.router.batch.settings import BatchSettings
from services.router.batch.store import BatchStore
from services.router.batch.worker import Worker
from services.router.coalescer import Coalescer, CoalescerLimits
from services.router.ledger import insist
from services.router.logs import configure_logs
from services.router.publisher import Publisher

EDGE_TIMEOUT_S = 5.0
CLAIM_LIMITS = CoalescerLimits(batch=64, in_flight=2, waiting=4_096)
LOOK_S = 0.1

log = structlog.get_logger(__name__)


class BatchProcess:
    """Everything that the worker is made of. Built inside the running loop."""

    def __init__(self, settings: BatchSettings) -> None:
        self._settings = s = settings
        self._router = Router(s)
        calling = self._router.calling
        self._refusals = Publisher(s.kafka_bootstrap_servers, calling.ledger, random.random, topic=REQUESTS)
        self._store = BatchStore(s.database_url)
        headers = {"authorization": f"Bearer {s.router_token.get_secret_value()}"}
        self._edge = httpx.AsyncClient(base_url=s.edge_url, headers=headers, timeout=EDGE_TIMEOUT_S, trust_env=False)
        self._claims: Coalescer[HoldClaim, ClaimResult] = Coalescer(self._claim_all, CLAIM_LIMITS)
        objects = Objects(s.store_url())
        work = LineWork(
            calling,
            {api.path.removeprefix("/internal"): api for api in APIS},
            callers=Callers(self._edge, monotonic),
            claim=self._claims.submit,
            objects=objects,
            refusals=self._refusals,
            deadline_s=s.batch_line_deadline_seconds,
        )
        name = f"{socket.gethostname()[:40]}-{os.getpid()}-{uuid4().hex[:8]}"
        limits = RunnerLimits(s.batch_lines_at_once, s.batch_lease_seconds)
        runner = Runner(self._store, objects, work, name, limits)
        self._worker = Worker(self._store, runner, name, at_once=s.batches_at_once, lease_s=s.batch_lease_seconds)
        self._intake = Intake(s.kafka_bootstrap_servers, self._store, self._set_aside)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def unready(self) -> str | None:
        """Why the process cannot work yet, None when it can."""
        return self._router.waiting_for or (None if self._intake.reading.is_set() else "the requests topic")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open everything, and close it in the order in which nothing is lost."""
        await self._store.open()
        self._router.start()
        self._tasks = [asyncio.create_task(self._work())]
        self._tasks[0].add_done_callback(_end_process)
        try:
            yield
        finally:
            await self._worker.close(self._settings.drain_seconds)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._refusals.stop(bound_s=min(5.0, self._settings.drain_seconds))
            await self._router.stop()
            await self._edge.aclose()
            await self._store.close()

    async def _work(self) -> None:
        while self._router.waiting_for is not None:  # noqa: ASYNC110 - it gets ready in steps, each with a reason of its own
            await asyncio.sleep(LOOK_S)
        await self._until_connected()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._intake.run())
            group.create_task(self._worker.run())

    async def _until_connected(self) -> None:
        while True:
            try:
                await self._refusals.start()
            except (KafkaError, TimeoutError, OSError) as exc:
                log.warning("waiting", what="the requests topic", reason=str(exc))
                await asyncio.sleep(1.0)
            else:
                return

    async def _claim_all(self, claims: list[HoldClaim]) -> list[ClaimResult]:
        ledger = self._router.calling.ledger
        return await insist(lambda: ledger.claim(claims), bound_s=self._settings.hold_bound_seconds, draw=random.random)

    async def _set_aside(self, letter: DeadLetter) -> None:
        """Write a dead letter, acknowledged. Raises KafkaError: the record is then read again."""
        session = self._refusals.session
        if session is None:
            raise KafkaError("no producer to set a record aside with")
        headers = [(TYPE_HEADER, letter.type.encode())]
        await session.producer.send_and_wait(DEAD, value=letter.to_json(), key=letter.account_id.encode(), headers=headers)


def _end_process(task: asyncio.Task[None]) -> None:
    """A worker whose loops broke is no use: its supervisor starts another."""
    if not task.cancelled():
        log.error("batch_worker_broke", exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)


def pages(process: BatchProcess) -> Starlette:
    """The probes and the metrics."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        reason = process.unready
        return JSONResponse({"ready": True}) if reason is None else JSONResponse({"ready": False, "reason": reason}, 503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)])


async def serve(settings: BatchSettings) -> None:
    """Run until SIGTERM: begin nothing more, let what is under way end, flush."""
    process = BatchProcess(settings)
    config = uvicorn.Config(
        pages(process), host=settings.host, port=settings.port, loop="none", lifespan="off", access_log=False, log_config=None
    )
    async with process.running():
        await uvicorn.Server(config).serve()


def main() -> None:
    """Run the worker with the settings of the environment."""
    settings = BatchSettings()
    configure_logs(settings.log_level)
    for number in (signal.SIGTERM, signal.SIGINT):
        # The server raises the signal that stopped it once more when it is done; the default would end the process unflushed.
        signal.signal(number, lambda _number, _frame: None)
    uvloop.run(serve(settings))
