"""The edge as a process of its own, and the admin calls that every test begins with."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from deploy.local.ports import free_port
from tests.logins import as_service

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 90.0
ADMIN_TOKEN = "admin-token-of-tests"
EDGE_TOKEN = "edge-token-of-tests"
ENVIRONMENT = {
    "TOLLBOOK_ADMIN_TOKEN": ADMIN_TOKEN,
    "TOLLBOOK_EDGE_TOKEN": EDGE_TOKEN,
    "TOLLBOOK_SETTLEMENT_TOKEN": "settlement-token-of-tests",
    "TOLLBOOK_ROUTER_TOKEN": "router-token-of-tests",
    "TOLLBOOK_ANALYTICS_TOKEN": "analytics-token-of-tests",
    "TOLLBOOK_KEY_PEPPERS": json.dumps({"1": "00112233445566778899aabbccddeeff"}),
    "TOLLBOOK_SECRETS_KEY": "ab" * 32,
    "TOLLBOOK_EDGE_MAX_BODY_BYTES": "65536",
}
ADMIN = {"authorization": f"Bearer {ADMIN_TOKEN}"}
CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


@dataclass(frozen=True)
class EdgeProcess:
    """A running edge."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    client: httpx.Client

    def admin(self, path: str, body: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
        """An admin call: POST with a body, or without one."""
        return self.client.post(f"/admin{path}", json=body, headers=ADMIN | headers)

    def new_key(self, **fields: Any) -> "Key":
        """A key of a new project of a new account."""
        account = self.admin("/accounts", {"name": "acme"}).json()["account_id"]
        project = self.admin("/projects", {"account_id": account, "name": "checkout"}).json()["project_id"]
        made = self.admin("/keys", {"project_id": project, "name": "bot", **fields}).raise_for_status().json()
        return Key(made["api_key"], made["key_id"], project, account)

    def chat(self, key: "Key", body: Any = None, **headers: str) -> httpx.Response:
        """A chat completion; the default body is a good one."""
        sent = CHAT if body is None else body
        content = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
        return self.client.post("/v1/chat/completions", content=content, headers=key.headers | headers)

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)


@dataclass(frozen=True)
class Key:
    """A new key and whose it is."""

    api_key: str
    key_id: str
    project_id: str
    account_id: str

    @property
    def headers(self) -> dict[str, str]:
        """How a client presents it."""
        return {"authorization": f"Bearer {self.api_key}"}


@contextmanager
def running_edge(log: Path, database_url: str, kafka: str, peers_url: str, **settings: str) -> Iterator[EdgeProcess]:
    """Run an edge until the block ends; ready when it begins, unless `wait=""` is given.

    It logs in as edge does, to the database that the owner's URL names, unless DATABASE_URL is given.
    """
    wait = settings.pop("wait", "/readyz")
    port = settings.pop("port", None) or str(free_port())
    environment = os.environ | ENVIRONMENT | settings
    environment |= {"DATABASE_URL": settings.get("DATABASE_URL") or as_service(database_url, "edge")}
    environment |= {"KAFKA_BOOTSTRAP_SERVERS": kafka, "TOLLBOOK_PORT": port}
    environment |= {"TOLLBOOK_ROUTER_URL": peers_url, "TOLLBOOK_SETTLEMENT_URL": peers_url}
    with log.open("ab") as output:
        process = subprocess.Popen([sys.executable, "-m", "services.edge"], env=environment, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=60) as client:
            edge = EdgeProcess(url, process, log, client)
            if wait:
                until(lambda: answers(client, wait), lambda: log.read_text("utf-8"), timeout_s=START_TIMEOUT_S)
            yield edge
    finally:
        process.kill()
        process.wait(STOP_TIMEOUT_S)


def answers(client: httpx.Client, path: str) -> bool:
    """Whether the path answers 200."""
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False


def until(condition: Callable[[], bool], report: Callable[[], object] = lambda: "", *, timeout_s: float = 60.0) -> None:
    """Poll until the condition holds; fails with the report at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to pass: {report()}"
        time.sleep(0.02)
