"""The running stack, as the bench uses it: where it is, an account of its own, and how far its record is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx

from deploy.local.stack import Stack
from deploy.local.stackfile import StackFile, load
from tests.bench.errors import BenchError
from tests.bench.quantiles import Quantiles
from tests.bench.target import Target

MEASURED = ("edge", "router", "settlement", "settlement-worker", "analytics", "meter", "kafka", "postgres")
TOPUP = "100000.00"
TIMEOUT_S = 30.0
DRAIN_S_MAX = 120.0
POLL_S = 0.25


class RunningStack:
    """A stack that `make up` started."""

    def __init__(self, home: Path | None) -> None:
        self._stack = Stack(home)
        found = load(self._stack.home)
        if found is None or not found.edge_url or not found.provider_url:
            raise BenchError(f"no stack runs in {self._stack.home.path}: `make up` starts it")
        self.file: StackFile = found
        authorization = {"authorization": f"Bearer {found.admin_token}"}
        self._client = httpx.Client(headers=authorization, timeout=TIMEOUT_S, trust_env=False)

    def pids(self) -> dict[str, int]:
        """Process ids of what is measured; what does not run here (an engine given by URL) is left out."""
        running = self._stack.status()
        found = {name: self._stack.pid(name) for name in MEASURED if name in running}
        return {name: pid for name, pid in found.items() if pid}

    def open_account(self, name: str) -> tuple[str, Target]:
        """Make an account with money in its credit bucket and a key, and aim at edge with it."""
        edge, settlement = self.file.edge_url, self.file.settlement_url
        account_id = self._post(f"{edge}/admin/accounts", {"name": name})["account_id"]
        project_id = self._post(f"{edge}/admin/projects", {"account_id": account_id, "name": name})["project_id"]
        key = self._post(f"{edge}/admin/keys", {"project_id": project_id, "name": name, "environment": "bench"})
        payment = {"provider": "bench", "payment_id": f"{name}-{account_id}"}
        self._post(f"{settlement}/admin/topups", {"account_id": account_id, "bucket": "credit", "amount": TOPUP, **payment})
        return account_id, Target("tollbook", f"{edge}/v1", key["api_key"], self.pids())

    def wait_drained(self) -> float:
        """Wait until ledger and warehouse have read all there is; gives the seconds that took."""
        begin = time.monotonic()
        while behind := self._behind():
            if time.monotonic() - begin > DRAIN_S_MAX:
                raise BenchError(f"the record has not caught up within {DRAIN_S_MAX:.0f} s: {behind}")
            time.sleep(POLL_S)
        return time.monotonic() - begin

    def clickhouse_lag(self) -> Quantiles:
        """Event to queryable row over the last minutes, as analytics counts it."""
        lag = self._get(f"{self.file.analytics_url}/admin/lag")["event_to_row_ms"]
        return Quantiles(p50_ms=lag["p50"], p99_ms=lag["p99"], count=lag["count"])

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def _behind(self) -> dict[str, int]:
        """What is still to be read or published; empty when nothing is."""
        ledger = self._get(f"{self.file.settlement_url}/admin/lag")
        warehouse = self._get(f"{self.file.analytics_url}/admin/lag")
        found = {
            "settlement": sum(one["lag"] for one in ledger["partitions"]),
            "outbox": ledger["outbox_pending"],
            "ingress": ledger["ingress_pending"],
            "analytics": sum(one["lag"] for one in warehouse["partitions"]),
        }
        return {name: lag for name, lag in found.items() if lag}

    def _get(self, url: str) -> dict[str, Any]:
        return self._checked(self._client.get(url))

    def _post(self, url: str, body: dict[str, str]) -> dict[str, Any]:
        return self._checked(self._client.post(url, json=body))

    @staticmethod
    def _checked(reply: httpx.Response) -> dict[str, Any]:
        if not reply.is_success:
            raise BenchError(f"{reply.request.method} {reply.request.url} answered {reply.status_code}: {reply.text[:500]}")
        body: dict[str, Any] = reply.json()
        return body


def home_path(given: str | None) -> Path | None:
    """The home that `--home` names; None leaves it to TOLLBOOK_HOME and the checkout."""
    return Path(given).resolve() if given else None


def bench_directory() -> Path:
    """Where results go: `.bench` beside the sources."""
    return Path(__file__).resolve().parents[2] / ".bench"
