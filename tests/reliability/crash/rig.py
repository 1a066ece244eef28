"""The product's processes on real engines, with a proxy wherever a row of the crash matrix has to stop a message."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import httpx

from deploy.local.ports import free_port
from deploy.local.seed import CATALOG, expanded
from deploy.local.traffic import Size
from tests.e2e.driver import Customer, Driver
from tests.reliability.crash.clients import Clients
from tests.reliability.crash.http_wire import HttpConversation, Tap
from tests.reliability.crash.kafka_wire import KafkaConversation
from tests.reliability.crash.ledger import Ledger
from tests.reliability.crash.nursery import Nursery
from tests.reliability.crash.postgres_wire import PostgresConversation
from tests.reliability.crash.processes import Process, run
from tests.reliability.crash.proxy import Proxy
from tests.reliability.crash.topics_followed import Topics

DEADLINE_S = 20
STREAM_LEASE_S = 5
GRACE_S = 1
SETTINGS = {
    "TOLLBOOK_HOST": "127.0.0.1",
    "TOLLBOOK_ALLOW_PRIVATE_UPSTREAMS": "1",
    "TOLLBOOK_ADMIN_TOKEN": "admin-token-of-the-rig",
    "TOLLBOOK_EDGE_TOKEN": "edge-token-of-the-rig",
    "TOLLBOOK_ROUTER_TOKEN": "router-token-of-the-rig",
    "TOLLBOOK_SETTLEMENT_TOKEN": "settlement-token-of-the-rig",
    "TOLLBOOK_ANALYTICS_TOKEN": "analytics-token-of-the-rig",
    "TOLLBOOK_SECRETS_KEY": "5a" * 32,
    "TOLLBOOK_KEY_PEPPERS": json.dumps({"1": "a5" * 32}),
    # Shortened, so that what a dead process left behind is resolved within the test.
    "TOLLBOOK_REQUEST_DEADLINE_SECONDS": str(DEADLINE_S),
    "TOLLBOOK_STREAM_LEASE_SECONDS": str(STREAM_LEASE_S),
    "TOLLBOOK_HOLD_GRACE_SECONDS": str(GRACE_S),
    "TOLLBOOK_SWEEP_INTERVAL_SECONDS": "0.5",
    "TOLLBOOK_LEASE_SECONDS": "4",
    "TOLLBOOK_LOADER_FLUSH_SECONDS": "0.1",
    # Longer than a restart, so that the router asks the successor again.
    "TOLLBOOK_HOLD_BOUND_SECONDS": "18",
}
SERVICES = ("settlement", "router", "edge", "analytics")
CHANNELS = ("openai-main", "openai-backup", "pool-a", "pool-b")


class Rig:
    """Everything that runs. Use it as a context manager, within one event loop."""

    def __init__(self, home: Path, database_url: str, kafka: str) -> None:
        self._home = home
        self._database_url = database_url
        self._kafka = kafka
        self._stack = AsyncExitStack()
        self._nurseries: dict[str, Nursery] = {}
        self._ports = {name: free_port() for name in (*SERVICES, "provider")}
        postgres = urlsplit(database_url)
        assert postgres.hostname
        assert postgres.port
        host, _, port = kafka.partition(":")
        to_postgres = partial(Proxy, postgres.hostname, postgres.port, PostgresConversation)
        to_kafka = partial(Proxy, host, int(port), partial(KafkaConversation, (host, int(port))))
        self.tap = Tap()
        self.api_to_postgres, self.worker_to_postgres, self.analytics_to_postgres = to_postgres(), to_postgres(), to_postgres()
        self.router_to_kafka, self.worker_to_kafka = to_kafka(), to_kafka()
        self.router_to_settlement = Proxy("127.0.0.1", self._ports["settlement"], HttpConversation)
        self.router_to_provider = Proxy("127.0.0.1", self._ports["provider"], self.tap.converse)
        self._proxies = (
            self.api_to_postgres,
            self.worker_to_postgres,
            self.analytics_to_postgres,
            self.router_to_kafka,
            self.worker_to_kafka,
            self.router_to_settlement,
            self.router_to_provider,
        )
        self.ledger = Ledger(database_url, grace_s=GRACE_S)
        self.topics = Topics(kafka)

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        for proxy in self._proxies:
            await self._stack.enter_async_context(proxy)
        self._make_processes()
        for service in ("settlement", "router", "edge", "analytics"):
            await run(f"services.{service}.migrate", self._environment())
        for part in (self.ledger, self.topics):
            await part.start()
            self._stack.push_async_callback(part.stop)
        await self._start_processes()
        self.driver = await self._stack.enter_async_context(Driver(self.described()))
        self.clients = Clients(self.edge.url)
        self._stack.push_async_callback(self.clients.close)
        await self._warm_up()

    async def _warm_up(self) -> None:
        """The router hears of its routes a moment after they were published: wait until a request is answered."""
        customer = await self.customer("10")
        async with asyncio.timeout(30):
            while True:
                asked = self.clients.ask(customer, Size(prompt=10, output=10))
                await asked.done()
                if asked.whole:
                    break

    def _make_processes(self) -> None:
        router_kafka = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{self.router_to_kafka.port}"}
        port = str(self._ports["provider"])
        self.provider = self._process(
            "deploy.local.provider", "provider", {}, "--host", "127.0.0.1", "--port", port, ready_path="/healthz"
        )
        self.settlement = self._process("services.settlement", "settlement", self._through(self.api_to_postgres))
        self.worker = self.new_worker()
        self.router = self._process(
            "services.router",
            "router",
            router_kafka | {"TOLLBOOK_SETTLEMENT_URL": f"http://127.0.0.1:{self.router_to_settlement.port}"},
        )
        self.edge = self._process("services.edge", "edge", {})
        self.analytics = self._process("services.analytics", "analytics", self._through(self.analytics_to_postgres))

    def new_worker(self, **settings: str) -> Process:
        """A worker with a port of its own, not started; by default it is the successor of every other one."""
        through = self._through(self.worker_to_postgres)
        through["KAFKA_BOOTSTRAP_SERVERS"] = f"127.0.0.1:{self.worker_to_kafka.port}"
        return self._process("services.settlement.worker", None, through | settings)

    def _process(
        self, module: str, name: str | None, own: dict[str, str], *arguments: str, ready_path: str = "/readyz"
    ) -> Process:
        port = self._ports[name] if name else free_port()
        data = self._home / (name or f"worker-{port}")
        data.mkdir(exist_ok=True)
        environment = {"TOLLBOOK_PORT": str(port), "TOLLBOOK_DATA_DIR": str(data)} | own
        if module not in self._nurseries:
            self._nurseries[module] = Nursery(module)
            self._stack.callback(self._nurseries[module].end)
        every = self._environment() | environment
        return Process(self._nurseries[module], every, data / "log", *arguments, ready_path=ready_path)

    def _through(self, proxy: Proxy) -> dict[str, str]:
        parts = urlsplit(self._database_url)
        netloc = f"{parts.username}:{parts.password}@127.0.0.1:{proxy.port}"
        return {"DATABASE_URL": urlunsplit(parts._replace(netloc=netloc))}

    def _environment(self) -> dict[str, str]:
        urls = {f"TOLLBOOK_{name.upper()}_URL": f"http://127.0.0.1:{self._ports[name]}" for name in SERVICES}
        return SETTINGS | urls | {"DATABASE_URL": self._database_url, "KAFKA_BOOTSTRAP_SERVERS": self._kafka}

    async def _start_processes(self) -> None:
        await self.provider.start()
        for process in (self.settlement, self.worker, self.router, self.edge, self.analytics):
            process.begin()
        for process in (self.settlement, self.worker, self.router, self.edge, self.analytics):
            await process.ready()
        provider = f"http://127.0.0.1:{self.router_to_provider.port}"
        headers = {"authorization": f"Bearer {SETTINGS['TOLLBOOK_ADMIN_TOKEN']}", "content-type": "application/yaml"}
        async with httpx.AsyncClient(trust_env=False, headers=headers, timeout=60) as http:
            for process, path, file in (
                (self.settlement, "/admin/price-books", "prices.yaml"),
                (self.router, "/admin/routes", "routes.yaml"),
            ):
                text = expanded(CATALOG / file, {"TOLLBOOK_PROVIDER_URL": provider})
                (await http.post(process.url + path, content=text)).raise_for_status()

    def free_the_way(self) -> None:
        """Nothing is held back any more, whatever a round left behind."""
        for proxy in self._proxies:
            proxy.sever_all()

    def described(self) -> dict[str, str]:
        """What the driver of end-to-end tests wants to know."""
        urls = {f"{name}_url": f"http://127.0.0.1:{port}" for name, port in self._ports.items()}
        return urls | {
            "admin_token": SETTINGS["TOLLBOOK_ADMIN_TOKEN"],
            "postgres_dsn": self._database_url,
            "kafka_bootstrap_servers": self._kafka,
        }

    async def customer(self, credit: str) -> Customer:
        """A customer with money for direct routes."""
        made = await self.driver.customer(any={"route_types": ["direct"]})
        await self.driver.top_up(made.account_id, "credit", credit)
        return made
