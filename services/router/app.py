"""Router's composition root: settings in, a running server out."""

from __future__ import annotations

import asyncio
import gc
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic
from typing import Any

import httpx
import psycopg
import structlog
import uvicorn
from aiokafka.errors import KafkaError
from fastapi import FastAPI

from schemas.control import ControlRecord
from services.router.admin import AdminDesk, build_admin
from services.router.affinity import Affinity
from services.router.attempts import AttemptLoop, AttemptRules
from services.router.backoff import Backoff
from services.router.batch.store import BatchStore
from services.router.batch_desk import BatchDesk, add_batches
from services.router.breaker import BreakerLimits
from services.router.buckets import Buckets
from services.router.call import CHAT
from services.router.calling import Calling
from services.router.change_log import ChangeLog
from services.router.channel_secrets import ChannelSecrets
from services.router.chat import ChatEndpoint, ChatLimits
from services.router.clients.embeddings import Embeddings
from services.router.clients.messages import Messages
from services.router.clients.responses import Responses
from services.router.control_feed import ControlFeed
from services.router.control_outbox import ControlOutbox
from services.router.destinations import Destinations
from services.router.entity_admin import EntityDesk
from services.router.errors import SecretUnreadableError
from services.router.freeze_store import FreezeStore, announced
from services.router.freezes import Freezes
from services.router.funding import Funding
from services.router.guard import EDGE_TIMEOUT_S, Guard, Identities
from services.router.health import Health
from services.router.holds import HoldCoalescer
from services.router.ledger import Ledger
from services.router.logs import configure_logs
from services.router.plain import PlainDelivery
from services.router.planner import Planner
from services.router.presence import Receive, Send
from services.router.price_feed import PriceFeed
from services.router.progress import ProgressReporter
from services.router.publisher import Publisher
from services.router.resealing import Resealer
from services.router.route_files import RouteFiles
from services.router.route_store import RouteStore
from services.router.serving import Server, inherited, until_ready
from services.router.settings import Settings
from services.router.settling import Settler
from services.router.streaming import StreamDelivery
from services.router.table_writing import TableWriter
from services.router.tables import Tables
from services.router.tightening import Tightener
from services.router.transport import PoolLimits, build_transport
from services.router.upstream import Upstream, UpstreamTimes
from services.router.vault import Vault
from services.router.watch import Watch

APIS = (CHAT, Messages(), Responses(), Embeddings())
API_PATHS = frozenset(api.path for api in APIS)
LEDGER_POOL = PoolLimits(connections=32, per_host=32, connect_s=2, wait_s=5)
BOOT_RETRY_S = 0.5
Step = Callable[[], Awaitable[None]]
AFFINITY_SECRET_BYTES = 32
YOUNG_OBJECTS = 10_000
"""A request leaves no cycles: looking for some every 700 objects was 30 us of each, a tenth of its CPU time."""

log = structlog.get_logger(__name__)


class Router:
    """One router process. Built inside the running loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = s = settings
        draw = random.random  # jitter and weights need no secrecy
        self._ledger_transport = build_transport(LEDGER_POOL)
        ledger = Ledger(self._ledger_transport, s.settlement_url, s.router_token.get_secret_value(), LEDGER_POOL)
        pool = PoolLimits(
            connections=s.upstream_connections,
            per_host=0,
            connect_s=s.upstream_connect_timeout_seconds,
            wait_s=s.upstream_connect_timeout_seconds * 2,
        )
        self._upstream_transport = build_transport(pool, Destinations(allow_private=s.allow_private_upstreams))
        times = UpstreamTimes(s.upstream_first_byte_timeout_seconds, s.upstream_read_timeout_seconds)
        upstream = Upstream(self._upstream_transport, pool, times)
        self._freezes = Freezes()
        breakers = BreakerLimits(consecutive=s.circuit_failures, open_s=s.circuit_open_seconds)
        self._health = Health(breakers, monotonic, self._freezes)
        self._publisher = Publisher(s.kafka_bootstrap_servers, ledger, draw)
        self._reporter = ProgressReporter(ledger, timedelta(seconds=s.stream_lease_seconds))
        vault = Vault(s.tenant, *s.keys_of_secrets())
        self._secrets = secrets = ChannelSecrets(vault, os.environ, s.origin_rules())
        self._store = RouteStore(s.database_url, secrets, s.origin_rules())
        self._resealer = Resealer(s.database_url, secrets)
        self._tables = Tables(self._store, self._health)
        self._freeze_store = FreezeStore(s.database_url)
        self._outbox = ControlOutbox(s.database_url, self._publisher)
        self._watch = Watch(
            s.database_url, tables=self._tables, freezes=self._freezes, store=self._freeze_store, outbox=self._outbox
        )
        self._buckets = Buckets()
        self._price_feed = PriceFeed(ledger, self._buckets)
        self._affinity = Affinity(os.urandom(AFFINITY_SECRET_BYTES), monotonic)
        self._planner = Planner(lambda: self._tables.catalog, lambda: self._price_feed.view, self._health, self._affinity, draw)
        self._control = ControlFeed(s.kafka_bootstrap_servers, self._hear)
        self._identities = Identities(_edge_client(s), monotonic)
        self.chat = self._build_chat(ledger, upstream)
        self._boot_task: asyncio.Task[None] | None = None
        self._waiting_for: str | None = "starting"

    def _build_chat(self, ledger: Ledger, upstream: Upstream) -> ChatEndpoint:
        s = self._settings
        holds = HoldCoalescer(
            ledger,
            in_flight=s.hold_calls_in_flight,
            waiting=s.holds_waiting_max,
            bound_s=s.hold_bound_seconds,
            draw=random.random,
        )
        funding = Funding(holds, self._buckets, self._reporter, Tightener())
        backoff = Backoff(s.backoff_base_seconds, s.backoff_cap_seconds, s.retry_after_max_seconds)
        rules = AttemptRules(s.tries_per_channel, backoff)
        attempts = AttemptLoop(
            funding,
            self._health,
            self._publisher,
            self._buckets,
            rules=rules,
            draw=random.random,
            affinity=self._affinity,
        )
        self.calling = Calling(self._planner, funding, attempts, upstream, self._publisher, ledger)
        settler = Settler(self._publisher)
        return ChatEndpoint(
            edge_token=s.edge_token.get_secret_value().encode(),
            planner=self._planner,
            funding=funding,
            plain=PlainDelivery(attempts, upstream, settler),
            stream=StreamDelivery(attempts, upstream, settler, self._reporter, disconnect_drain_s=s.disconnect_drain_seconds),
            settler=settler,
            limits=ChatLimits(s.body_bytes_max, s.requests_in_flight_max, s.request_deadline_seconds),
            apis=APIS,
        )

    def build_rest(self, batches: BatchStore) -> FastAPI:
        """The application beside the hot path."""
        s = self._settings
        files = RouteFiles(self._store, self._secrets)
        writer = TableWriter(self._store, files, self._tables, self._outbox)
        guard = Guard(s.admin_token.get_secret_value().encode(), self._identities)
        desk = self._build_desk(files, writer)
        entities = EntityDesk(
            store=self._store,
            files=files,
            writer=writer,
            tables=self._tables,
            freezes=self._freezes,
            freeze_store=self._freeze_store,
            obey=self._watch.load_freezes,
            change_log=ChangeLog(s.database_url),
        )
        rest = build_admin(desk, entities, guard)
        add_batches(rest, BatchDesk(batches), desk, guard)
        return rest

    def _build_desk(self, files: RouteFiles, writer: TableWriter) -> AdminDesk:
        s = self._settings
        return AdminDesk(
            store=self._store,
            files=files,
            writer=writer,
            planner=self._planner,
            prices=self._price_feed,
            resealer=self._resealer,
            tables=self._tables,
            health=self._health,
            edge_token=s.edge_token.get_secret_value().encode(),
            unready=lambda: self.waiting_for,
            clock=monotonic,
        )

    @property
    def waiting_for(self) -> str | None:
        """Why the process cannot work yet or should not any more, None when it can."""
        if self._waiting_for is None and self._control.silent_s > self._settings.control_silent_seconds:
            return f"the control topic was not read to its end for {self._control.silent_s:.0f} s"
        return self._waiting_for

    def start(self) -> None:
        """Begin to get ready; `/readyz` tells when it is."""
        self._boot_task = asyncio.create_task(self._boot())

    async def stop(self) -> None:
        """Finish what is under way and let go of everything."""
        self.chat.ready = False
        self._waiting_for = "stopping"
        if self._boot_task is not None:
            self._boot_task.cancel()
            await asyncio.gather(self._boot_task, return_exceptions=True)
        await self._publisher.stop(bound_s=min(5.0, self._settings.drain_seconds))
        for part in (self._control, self._watch, self._price_feed, self._reporter):
            await part.stop()
        await self._identities.close()
        await self._ledger_transport.aclose()
        await self._upstream_transport.aclose()

    async def _boot(self) -> None:
        await self._until_done("the event log", self._publisher.start)
        await self._until_done("the route table", self._tables.reload)
        await self._until_done("the frozen channels", self._watch.load_freezes)
        self._waiting_for = "the end of the control topic"
        self._price_feed.start()
        self._control.start()
        await self._control.at_end.wait()
        self._reporter.start()
        self._watch.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, 20, 20)
        self._waiting_for = None
        self.chat.ready = True
        log.info("ready", table_version=self._tables.catalog.version)

    async def _hear(self, record: ControlRecord) -> None:
        """Obey what the control topic says."""
        if record.kind == "routes":
            await self._tables.try_reload(record.version)
        elif record.kind == "price":
            self._price_feed.nudge()
        elif record.kind == "channel":
            await self._watch.hear_freeze(announced(record))

    async def _until_done(self, what: str, step: Step) -> None:
        self._waiting_for = what
        await until_done(what, step)


def _edge_client(s: Settings) -> httpx.AsyncClient | None:
    if not s.edge_url:
        return None
    headers = {"authorization": f"Bearer {s.router_token.get_secret_value()}"}
    return httpx.AsyncClient(base_url=s.edge_url, headers=headers, timeout=EDGE_TIMEOUT_S, trust_env=False)


async def until_done(what: str, step: Step) -> None:
    """Take the step again and again until it succeeds; each reason why it does not is said once."""
    said = ""
    while True:
        try:
            await step()
        except (KafkaError, psycopg.Error, OSError, TimeoutError, SecretUnreadableError) as exc:
            if said != (said := str(exc)):
                log.warning("waiting", what=what, reason=said)
            await asyncio.sleep(BOOT_RETRY_S)
        else:
            return


class Front:
    """The ASGI application: the hot path first, everything else to FastAPI."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._chat: ChatEndpoint | None = None
        self._rest: Any = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection's event stream."""
        if scope["type"] == "http" and scope["path"] in API_PATHS and scope["method"] == "POST":
            assert self._chat is not None
            await self._chat(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._rest(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self._running():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        router = Router(self._settings)
        self._chat = router.chat
        batches = BatchStore(self._settings.database_url)
        await batches.open()
        self._rest = router.build_rest(batches)
        router.start()
        if self._settings.listen_fd is not None:
            await until_ready(lambda: router.waiting_for)
        try:
            yield
        finally:
            await router.stop()
            await batches.close()


def main() -> None:
    """Run until SIGTERM; then finish what is under way, flush, and end."""
    settings = Settings()
    configure_logs(settings.log_level)
    config = uvicorn.Config(
        Front(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(settings.drain_seconds),
    )
    Server(config).run(inherited(settings.listen_fd))
