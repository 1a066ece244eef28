"""Everything that a batch passes: edge, the batch worker, router, settlement, the provider simulator, on real engines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from openai import OpenAI

from deploy.local.ports import free_port
from tests.integration.router.processes import Process
from tests.integration.router.rig import Lane, Rig
from tests.logins import as_service

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
PATIENCE_S = 90.0
QUICK = {
    "TOLLBOOK_HOLD_GRACE_SECONDS": "1",
    "TOLLBOOK_SWEEP_INTERVAL_SECONDS": "0.5",
    "TOLLBOOK_BATCH_LEASE_SECONDS": "2",
    "TOLLBOOK_BATCH_LINE_DEADLINE_SECONDS": "8",
    "TOLLBOOK_UPSTREAM_FIRST_BYTE_TIMEOUT_SECONDS": "30",
    "TOLLBOOK_UPSTREAM_READ_TIMEOUT_SECONDS": "30",
}
"""Holds of killed workers have to expire within a test."""


@dataclass(frozen=True)
class Customer:
    """A key, whose it is, and the lane of models that no other test touches."""

    lane: Lane
    api_key: str
    key_id: str
    project_id: str
    account_id: str


class BatchRig(Rig):
    """The running neighbourhood, edge and batch worker included."""

    def __init__(self, directory: Path, database_url: str, kafka: str) -> None:
        super().__init__(directory, database_url, kafka)
        for name in ("edge", "batch", "batch2"):
            self.ports[name] = free_port()
            self.urls[name] = f"http://127.0.0.1:{self.ports[name]}"
        self.environment |= QUICK | {
            "TOLLBOOK_EDGE_URL": self.urls["edge"],
            "TOLLBOOK_ROUTER_URL": self.urls["router"],
            "TOLLBOOK_KEY_PEPPERS": json.dumps({"1": "00112233445566778899aabbccddeeff"}),
            "TOLLBOOK_OBJECT_STORE_URL": f"file://{directory / 'objects'}",
            "TOLLBOOK_EDGE_MAX_FILE_BYTES": str(4 * 1024 * 1024),
        }
        self.objects = directory / "objects"
        migrations = ("settlement", "router", "edge")
        self.migrations = [self._process(f"services.{name}.migrate", directory / "migrate.log") for name in migrations]
        self.settlement = self._process("services.settlement", directory / "settlement.log", "settlement", port="settlement")
        self.worker = self._process("services.settlement.worker", directory / "worker.log", "settlement")
        self.router = self._process("services.router", self.log, "router", port="router")
        self.edge = self._process("services.edge", directory / "edge.log", "edge", port="edge")
        self.batch = self._process("services.router.batch", directory / "batch.log", "router", port="batch")
        self.batch2 = self._process("services.router.batch", directory / "batch2.log", "router", port="batch2")

    def start(self) -> None:
        """Start everything but the second batch worker."""
        super().start()
        self.edge.start(self.urls["edge"] + "/readyz")
        self.batch.start(self.urls["batch"] + "/readyz")

    def stop(self) -> None:
        """Stop everything."""
        for process in (self.batch, self.batch2, self.edge):
            process.stop()
        super().stop()

    def customer(self, credit: str = "100", **key: Any) -> Customer:
        """A new account, project and key, with money in its credit bucket."""
        account = self.post("edge", "/admin/accounts", json={"name": "acme"})["account_id"]
        project = self.post("edge", "/admin/projects", json={"account_id": account, "name": "batches"})["project_id"]
        made = self.post("edge", "/admin/keys", json={"project_id": project, "name": "bot", **key})
        lane = Lane(f"m{next(self._lanes['m'])}", account)
        payment = {"account_id": account, "bucket": "credit", "amount": credit, "provider": "test", "payment_id": uuid4().hex}
        self.post("settlement", "/admin/topups", json=payment)
        return Customer(lane, made["api_key"], made["key_id"], project, account)

    def openai(self, customer: Customer) -> OpenAI:
        """The official client with the customer's key."""
        return OpenAI(base_url=f"{self.urls['edge']}/v1", api_key=customer.api_key, max_retries=0)

    def ask(self, customer: Customer, method: str, path: str, **more: Any) -> httpx.Response:
        """A customer's call to edge."""
        headers = {"authorization": f"Bearer {customer.api_key}"} | more.pop("headers", {})
        return self.http.request(method, self.urls["edge"] + path, headers=headers, **more)

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What the tables say."""
        import psycopg

        with psycopg.connect(self.environment["DATABASE_URL"]) as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def check_ledger(self) -> None:
        """Every invariant of the ledger that needs no other service holds."""
        environment = {**self.environment, "DATABASE_URL": as_service(self.environment["DATABASE_URL"], "settlement")}
        process = Process("services.settlement.check", environment, self.log.with_name("check.log"))
        process.start()
        assert process.wait() == 0, process.log.read_text()


def until(found: Callable[[], Any], what: str) -> Any:
    """What `found` gives once it gives something."""
    give_up_at = time.monotonic() + PATIENCE_S
    while not (value := found()):
        assert time.monotonic() < give_up_at, f"waited in vain for {what}"
        time.sleep(0.05)
    return value


def line(name: str, model: str, **body: Any) -> dict[str, Any]:
    """A chat completion as a line of a batch."""
    asked = {"model": model, "messages": [{"role": "user", "content": f"Say {name}"}], "max_tokens": 20, **body}
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": asked}


def jsonl(lines: list[dict[str, Any]]) -> bytes:
    """A file of lines."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in lines)


def begin(client: OpenAI, lines: list[dict[str, Any]], **metadata: str) -> Any:
    """A batch of these lines."""
    file = client.files.create(file=("requests.jsonl", jsonl(lines)), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata=metadata
    )


def ended(client: OpenAI, batch_id: str) -> Any:
    """The batch once it has ended."""

    def look() -> Any:
        batch = client.batches.retrieve(batch_id)
        return batch if batch.status in ENDED else None

    return until(look, f"the end of {batch_id}")


def entries(client: OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    """The lines of an output or an error file."""
    return [] if file_id is None else [json.loads(each) for each in client.files.content(file_id).text.splitlines()]


def answered(client: OpenAI, batch_id: str) -> int:
    """How many lines of a batch have their answer by now."""
    counts = client.batches.retrieve(batch_id).request_counts
    return 0 if counts is None else counts.completed
