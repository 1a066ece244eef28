"""Two edges, two routers and two settlement APIs over one Postgres and one Kafka: whatever one is told, every one must obey."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from deploy.local.ports import free_port
from tests.integration.router.processes import Process
from tests.logins import as_service

ADMIN, EDGE = "admin-token-of-twins", "edge-token-of-twins"
SIDES = (0, 1)
PAIRED = ("settlement", "router", "edge")
POSITION = re.compile(r"^tollbook_\w+_control_position ([0-9.e+]+)$", re.MULTILINE)
PATIENCE_S = 90.0
MODEL, UPSTREAM = "gpt-4o", "gpt-4o-mini"
FIRST, SECOND = "first", "second"
"""The two channels of the model."""


@dataclass(frozen=True)
class Customer:
    """Whose requests are watched. The token changes when the key rotates."""

    account_id: str
    project_id: str
    key_id: str
    api_key: str


class Twins:
    """The processes; `side` 0 and 1 are an edge, its router and their settlement each."""

    def __init__(self, directory: Path, database_url: str, kafka: str, **settings: str) -> None:
        self.kafka = kafka
        self.ports = {(name, side): free_port() for name in PAIRED for side in SIDES}
        self.provider_url = f"http://127.0.0.1:{(provider := free_port())}"
        self._common = {
            "DATABASE_URL": database_url,
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "TOLLBOOK_HOST": "127.0.0.1",
            "TOLLBOOK_ADMIN_TOKEN": ADMIN,
            "TOLLBOOK_EDGE_TOKEN": EDGE,
            "TOLLBOOK_ROUTER_TOKEN": "router-token-of-twins",
            # Settlement asks edge for an account of which Kafka has not told it.
            "TOLLBOOK_SETTLEMENT_TOKEN": "settlement-token-of-twins",
            "TOLLBOOK_KEY_PEPPERS": '{"1": "00112233445566778899aabbccddeeff"}',
            "TOLLBOOK_SECRETS_KEY": "ab" * 32,
            "TOLLBOOK_ALLOW_PRIVATE_UPSTREAMS": "true",
            **settings,
        }
        self.processes = {key: self._process(directory, *key) for key in self.ports}
        worker = {**self._common, "DATABASE_URL": as_service(database_url, "settlement")}
        self._worker = Process("services.settlement.worker", worker, directory / "worker.log")
        arguments = ("--host", "127.0.0.1", "--port", str(provider))
        self._provider = Process("deploy.local.provider", {}, directory / "provider.log", *arguments)
        self._migrations = [Process(f"services.{name}.migrate", self._common, directory / "migrate.log") for name in PAIRED]
        self.http = httpx.Client(timeout=60, trust_env=False, headers={"authorization": f"Bearer {ADMIN}"})

    def url(self, name: str, side: int) -> str:
        """Where an instance is."""
        return f"http://127.0.0.1:{self.ports[name, side]}"

    def start(self) -> None:
        """Start everything, with a price book and a table."""
        for migration in self._migrations:
            migration.run()
        self._provider.start(self.provider_url + "/healthz")
        for key, process in self.processes.items():
            process.start()
            if key[0] == "settlement":
                process.wait_ready(self.url(*key) + "/readyz")
        self._worker.start()
        for key, process in self.processes.items():
            process.wait_ready(self.url(*key) + "/readyz")
        self.admin("settlement", "POST", "/price-books", content=price_book("2.5", "10"))
        self.admin("router", "POST", "/routes", json=self.table())

    def stop(self) -> None:
        """Stop everything."""
        for process in (*reversed(self.processes.values()), self._worker, self._provider):
            process.stop()
        self.http.close()

    def admin(self, name: str, method: str, path: str, side: int = 0, **more: Any) -> Any:
        """An operator's call to one instance."""
        reply = self.http.request(method, f"{self.url(name, side)}/admin{path}", **more)
        assert reply.is_success, reply.text
        return reply.json()

    def customer(self) -> Customer:
        """A new key of a new project of a new account, with money."""
        account = self.admin("edge", "POST", "/accounts", json={"name": "acme"})["account_id"]
        project = self.admin("edge", "POST", "/projects", json={"account_id": account, "name": "p"})["project_id"]
        key = self.admin("edge", "POST", "/keys", json={"project_id": project, "name": "k"})
        paid = {"account_id": account, "bucket": "credit", "amount": "10000", "provider": "test", "payment_id": uuid4().hex}
        self.admin("settlement", "POST", "/topups", json=paid)
        return Customer(account, project, key["key_id"], key["api_key"])

    def table(self) -> dict[str, Any]:
        """Two channels that answer alike, the first of which is asked first."""
        common = {"route_type": "direct", "brand": "sim", "dialect": "openai", "cost_factor": "0.8"}
        channels = [
            {"id": id_, **common, "base_url": f"{self.provider_url}/{id_}/v1", "keys": [{"secret": f"sk-{id_}"}]}
            for id_ in (FIRST, SECOND)
        ]
        return {"version": 1, "channels": channels, "models": [model_row(FIRST, SECOND)]}

    def receipt(self, account_id: str, request_id: str) -> dict[str, Any]:
        """A settled receipt, waited for."""
        path = f"/internal/accounts/{account_id}/receipts/{request_id}"
        found: dict[str, Any] = {}

        def settled() -> bool:
            reply = self.http.get(self.url("settlement", 0) + path, headers={"authorization": f"Bearer {EDGE}"})
            found.update(reply.json())
            return reply.is_success and found["status"] == "settled"

        until(settled, lambda: str(found))
        return found

    def position(self, name: str, side: int) -> int:
        """Up to which offset of the control topic an instance has read and obeyed."""
        found = POSITION.search(httpx.get(self.url(name, side) + "/metrics", timeout=10, trust_env=False).text)
        return int(float(found[1])) if found else 0

    def await_positions(self, offset: int) -> None:
        """Wait until every instance says that it has read the record at this offset."""
        for key in self.ports:
            until(lambda key=key: self.position(*key) > offset, lambda key=key: f"{key} at {self.position(*key)}")  # type: ignore[misc]

    def kill(self, name: str, side: int) -> None:
        """kill -9 one instance."""
        self.processes[name, side].signal(signal.SIGKILL)
        self.processes[name, side].wait()

    def start_again(self, name: str, side: int) -> None:
        """Start one instance anew, ready."""
        self.processes[name, side].start(self.url(name, side) + "/readyz")

    def readiness(self, name: str, side: int) -> tuple[int, str]:
        """Status and reason of an instance's probe."""
        reply = httpx.get(self.url(name, side) + "/readyz", timeout=10, trust_env=False)
        return reply.status_code, reply.json().get("reason", "")

    def _process(self, directory: Path, name: str, side: int) -> Process:
        peers = {f"TOLLBOOK_{each.upper()}_URL": self.url(each, side) for each in PAIRED}
        own = {"TOLLBOOK_PORT": str(self.ports[name, side]), "DATABASE_URL": as_service(self._common["DATABASE_URL"], name)}
        return Process(f"services.{name}", {**self._common, **peers, **own}, directory / f"{name}-{side}.log")


@contextmanager
def running(directory: Path, database_url: str, kafka: str, **settings: str) -> Iterator[Twins]:
    """Twins that run until the block ends."""
    twins = Twins(directory, database_url, kafka, **settings)
    try:
        twins.start()
        yield twins
    finally:
        twins.stop()


def model_row(*channels: str) -> dict[str, Any]:
    """The model, with its candidates in this order."""
    candidates = [{"channel": each, "upstream_model": UPSTREAM} for each in channels]
    return {"id": MODEL, "owned_by": "sim", "max_input_tokens": 128_000, "max_output_tokens": 16_384, "candidates": candidates}


def price_book(price_in: str, price_out: str) -> str:
    """A book that prices the model."""
    return (
        "version: 1\nbuckets:\n  - {id: credit, currency: USD, route_types: [direct]}\nprices:\n"
        f'  - {{route_type: direct, model: {UPSTREAM}, currency: USD, input: "{price_in}", output: "{price_out}"}}\n'
    )


def until(condition: Callable[[], bool], report: Callable[[], object] = lambda: "") -> None:
    """Poll until the condition holds; fails with the report at the deadline."""
    give_up_at = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up_at, f"it did not come to pass: {report()}"
        time.sleep(0.01)
