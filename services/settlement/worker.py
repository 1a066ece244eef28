"""`python -m services.settlement.worker`: settles events, expires holds, relays outbox and ingress. The worker's wiring."""

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import structlog
import uvicorn
import uvloop
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from psycopg.rows import TupleRow
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from schemas import topics
from schemas.envelope import now
from schemas.release import alive
from services.settlement.batch import Posting
from services.settlement.book_store import BookStore
from services.settlement.checkpoint_file import CheckpointFile
from services.settlement.consumer import SettlementLoop
from services.settlement.correction_store import CaseTerms
from services.settlement.credit_sweeper import CreditSweeper
from services.settlement.database import configure_json, connect
from services.settlement.garbage import BACKLOG_OBJECTS, calm
from services.settlement.leases import Leases
from services.settlement.logs import configure_logs
from services.settlement.publisher import Publisher
from services.settlement.relay import Relay
from services.settlement.relay_store import IngressSource, OutboxSource
from services.settlement.run_keeper import RunKeeper
from services.settlement.sealer import Sealer
from services.settlement.settings import Settings
from services.settlement.settle_store import SettleStore
from services.settlement.signals import end_without_signal
from services.settlement.sweeper import Sweeper

log = structlog.get_logger(__name__)
SWITCH_S = 0.0005
"""A thread that has Postgres' answer waits at most so long for one that computes: with Python's 5 ms each of a transaction's
dozen statements would come that much later, while Postgres does nothing and the bucket is locked."""
THREADS = 24
"""Every part, each lane too, may wait for Postgres at the same time: on two cores asyncio by itself allows six."""


class Worker:
    """Everything that the worker process runs, wired once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._books = BookStore(self._briefly)
        token = f"{settings.worker_name}/{socket.gethostname()}/{os.getpid()}/{uuid4().hex[:8]}"
        posting = Posting(
            lease=token,
            lease_s=settings.lease_seconds,
            case_owner=settings.case_owner,
            case_max_age_days=settings.case_max_age_days,
        )
        self.loop = SettlementLoop(
            bootstrap_servers=settings.kafka_bootstrap_servers,
            group=settings.consumer_group,
            leases=Leases(topic=topics.ATTEMPTS, token=token, owner=settings.worker_name, lease_s=settings.lease_seconds),
            connect=partial(self._connect, "settle"),
            store=lambda connection: SettleStore(connection, posting=posting, book_of=self._books.version),
            batch=settings.settle_batch,
            linger_ms=settings.settle_linger_ms,
            lease_s=settings.lease_seconds,
            lanes=settings.settle_lanes,
        )
        interval_ms = settings.relay_interval_ms
        # The ingress table is empty as long as Kafka is there: it need not be looked at as often.
        self._relays = [self._relay(OutboxSource(), interval_ms), self._relay(IngressSource(), 5 * interval_ms)]
        self._sweeper = Sweeper(
            bootstrap_servers=settings.kafka_bootstrap_servers,
            connect=partial(self._connect, "sweep"),
            books=self._books,
            grace_s=settings.hold_grace_seconds,
            interval_s=settings.sweep_interval_seconds,
            case_owner=settings.case_owner,
            case_max_age_days=settings.case_max_age_days,
        )
        self._run_keeper = RunKeeper(partial(self._connect, "runs"), interval_s=settings.run_interval_seconds)
        self._credit = CreditSweeper(
            partial(self._connect, "credit"),
            interval_s=settings.credit_interval_seconds,
            clock=now,
            terms=CaseTerms(owner=settings.case_owner, max_age_days=settings.case_max_age_days),
        )
        self._sealer = self._make_sealer()

    async def run(self, stop: asyncio.Event) -> None:
        """Run every part until `stop` is set. The first part that fails ends them all with its error."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.loop.run(stop))
                group.create_task(self._sweeper.run(stop))
                group.create_task(self._run_keeper.run(stop))
                group.create_task(self._credit.run(stop))
                if self._sealer:
                    group.create_task(self._sealer.run(stop))
                for relay in self._relays:
                    group.create_task(relay.run(stop))
        finally:
            stop.set()

    def not_ready(self) -> str | None:
        """Why nothing is settled now, or None."""
        if self.loop.halted:
            return f"halted: {self.loop.halted}"
        return None if self.loop.reading else "no partition is leased"

    def _make_sealer(self) -> Sealer | None:
        settings = self._settings
        key = settings.signer()
        if key is None:
            log.warning("nothing_is_sealed", why="TOLLBOOK_SIGNING_KEY is not set")
            return None
        return Sealer(
            partial(self._connect, "seal"),
            key,
            batch=settings.seal_batch,
            interval_s=settings.seal_interval_seconds,
            file=CheckpointFile(settings.checkpoint_file) if settings.checkpoint_file else None,
        )

    def _relay(self, source: OutboxSource | IngressSource, interval_ms: float) -> Relay:
        settings = self._settings
        return Relay(
            source,
            Publisher(settings.kafka_bootstrap_servers),
            partial(self._connect, source.name),
            batch=settings.relay_batch,
            interval_ms=interval_ms,
            silent_s=settings.silent_seconds,
        )

    def _connect(self, part: str) -> psycopg.Connection[TupleRow]:
        settings = self._settings
        return connect(
            settings.database_url, statement_timeout_ms=settings.statement_timeout_ms, name=f"settlement-worker/{part}"
        )

    @contextmanager
    def _briefly(self) -> Iterator[psycopg.Connection[TupleRow]]:
        connection = self._connect("books")
        try:
            yield connection
        finally:
            connection.close()


def health(worker: Worker) -> Starlette:
    """`/healthz`, `/readyz` and `/metrics` of the worker."""

    async def healthz(_: Request) -> Response:
        return JSONResponse(alive())

    async def readyz(_: Request) -> Response:
        reason = worker.not_ready()
        return JSONResponse({"ready": True}) if reason is None else JSONResponse({"ready": False, "reason": reason}, 503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)])


async def serve(settings: Settings) -> None:
    """Run the worker and its health endpoint until SIGTERM; an error of the worker ends the process with it."""
    configure_json()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
    sys.setswitchinterval(SWITCH_S)
    worker = Worker(settings)
    config: Any = uvicorn.Config(
        health(worker), host=settings.host, port=settings.port, http="httptools", access_log=False, log_level="warning"
    )
    server = uvicorn.Server(config)
    stop = asyncio.Event()
    calm(BACKLOG_OBJECTS)

    async def listen() -> None:
        await server.serve()
        stop.set()

    listening = asyncio.create_task(listen())
    try:
        await worker.run(stop)
    finally:
        server.should_exit = True
        await listening


def main() -> None:
    """Entry point of the command."""
    configure_logs()
    end_without_signal()
    uvloop.run(serve(Settings()))


if __name__ == "__main__":
    main()
