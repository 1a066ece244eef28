"""Router among its real neighbours: the provider simulator, settlement, Kafka, Postgres. Edge is played by the test."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
from aiokafka import AIOKafkaConsumer

from deploy.local.ports import free_port
from schemas.attempts import AttemptFinished, AttemptStarted, FallbackTaken, RequestCompleted, RequestCompletedData
from schemas.calls import CONTEXT_HEADER
from schemas.envelope import Event
from schemas.money import Prices, Usage, charge_nano
from schemas.registry import decode
from schemas.topics import ATTEMPTS
from tests.announced import new_accounts
from tests.integration.router.processes import CHECKOUT, Process
from tests.logins import as_service

ADMIN, EDGE, ROUTER = "admin-token", "edge-token", "router-token"
LANES = 60
ACCOUNTS = 120
"""How many accounts are announced at once: a lane each, and some."""
CHAT = "/internal/v1/chat/completions"
STORY_TIMEOUT_S = 90.0
PRICES = {"direct": Prices.parse("2.5", "10", "1.25"), "pooled": Prices.parse("20", "80")}
PRICE_BOOK = """
version: 1
buckets:
  - {id: credit, currency: USD, route_types: [direct]}
  - {id: wallet, currency: CNY, route_types: [pooled, subscription]}
prices:
  - {route_type: direct, model: gpt-4o, currency: USD, input: "2.5", cached_input: "1.25", output: "10"}
  - {route_type: pooled, model: gpt-4o, currency: CNY, input: "20", output: "80"}
"""
FAST = {
    "TOLLBOOK_UPSTREAM_FIRST_BYTE_TIMEOUT_SECONDS": "1.0",
    "TOLLBOOK_UPSTREAM_READ_TIMEOUT_SECONDS": "1.0",
    "TOLLBOOK_REQUEST_DEADLINE_SECONDS": "8",
    "TOLLBOOK_DISCONNECT_DRAIN_SECONDS": "2",
    "TOLLBOOK_BACKOFF_BASE_SECONDS": "0.01",
    "TOLLBOOK_RETRY_AFTER_MAX_SECONDS": "0.5",
}


@dataclass(frozen=True)
class Lane:
    """One test's own model, channels and account: nothing that another test does touches them."""

    model: str
    account_id: str
    tags: dict[str, str] | None = None
    tell_tokens: bool = False

    @property
    def main(self) -> str:
        """The primary channel (direct)."""
        return f"{self.model}-main"

    @property
    def backup(self) -> str:
        """The backup (direct)."""
        return f"{self.model}-backup"

    @property
    def pool(self) -> str:
        """The last candidate (pooled, another bucket)."""
        return f"{self.model}-pool"


@dataclass(frozen=True)
class Reply:
    """A whole reply. `text` of a stream is what its chunks said; `events` are its parsed data lines, "[DONE]" included."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def json(self) -> Any:
        """The body of a plain reply."""
        return orjson.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of each event of a stream."""
        lines = [line[6:] for line in self.body.split(b"\n\n") if line.startswith(b"data: ")]
        return [line.decode() if line == b"[DONE]" else orjson.loads(line) for line in lines]


class Rig:
    """The running neighbourhood."""

    def __init__(self, directory: Path, database_url: str, kafka: str, settings: Mapping[str, str] | None = None) -> None:
        self._lanes: defaultdict[str, itertools.count[int]] = defaultdict(itertools.count)
        self._accounts: list[str] = []
        self.kafka = kafka
        self.ports = {name: free_port() for name in ("router", "settlement", "provider")}
        self.urls = {name: f"http://127.0.0.1:{port}" for name, port in self.ports.items()}
        self.environment = {
            "DATABASE_URL": database_url,
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "TOLLBOOK_HOST": "127.0.0.1",
            "TOLLBOOK_SETTLEMENT_URL": self.urls["settlement"],
            "TOLLBOOK_ADMIN_TOKEN": ADMIN,
            "TOLLBOOK_EDGE_TOKEN": EDGE,
            "TOLLBOOK_ROUTER_TOKEN": ROUTER,
            "TOLLBOOK_SECRETS_KEY": "0f" * 32,
            "TOLLBOOK_ALLOW_PRIVATE_UPSTREAMS": "true",
            **FAST,
            **(settings or {}),
        }
        self.log = directory / "router.log"
        self.migrations = [
            self._process(f"services.{name}.migrate", directory / "migrate.log") for name in ("settlement", "router")
        ]
        self.settlement = self._process("services.settlement", directory / "settlement.log", "settlement", port="settlement")
        self.worker = self._process("services.settlement.worker", directory / "worker.log", "settlement")
        self.router = self._process("services.router", self.log, "router", port="router")
        self.provider = Process(
            "deploy.local.provider",
            {},
            directory / "provider.log",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.ports["provider"]),
        )
        self.http = httpx.Client(timeout=60, trust_env=False, headers={"authorization": f"Bearer {ADMIN}"})

    def _process(self, module: str, log: Path, login: str | None = None, port: str | None = None) -> Process:
        """A process that logs in to the database as the service, or without one as the tables' owner."""
        own = {} if port is None else {"TOLLBOOK_PORT": str(self.ports[port])}
        if login is not None:
            own["DATABASE_URL"] = as_service(self.environment["DATABASE_URL"], login)
        return Process(module, {**self.environment, **own}, log)

    def start(self) -> None:
        """Start everything, with a table of many lanes and a price book."""
        for migration in self.migrations:
            migration.run()
        self.provider.start(self.urls["provider"] + "/healthz")
        self.settlement.start(self.urls["settlement"] + "/readyz")
        self.worker.start()
        self.router.start(self.urls["router"] + "/readyz")
        self.post("settlement", "/admin/price-books", content=PRICE_BOOK)
        self.post("router", "/admin/routes", content=orjson.dumps(self.table()))
        self._accounts = new_accounts(self.kafka, self.urls["settlement"], ACCOUNTS)

    def stop(self) -> None:
        """Stop everything."""
        for process in (self.router, self.worker, self.settlement, self.provider):
            process.stop()
        self.http.close()

    def table(self) -> dict[str, Any]:
        """Each lane: a model with two direct channels and a pooled one."""
        channels, models = [], []
        for lane in (Lane(f"m{number}", "") for number in range(LANES)):
            for id_, route_type in ((lane.main, "direct"), (lane.backup, "direct"), (lane.pool, "pooled")):
                channels.append(
                    {
                        "id": id_,
                        "route_type": route_type,
                        "brand": "sim",
                        "dialect": "openai",
                        "base_url": f"{self.urls['provider']}/{id_}/v1",
                        "keys": [{"secret": f"sk-{id_}"}],
                        "cost_factor": "0.8",
                    }
                )
            candidates = [{"channel": id_, "upstream_model": "gpt-4o"} for id_ in (lane.main, lane.backup, lane.pool)]
            limits = {"max_input_tokens": 128_000, "max_output_tokens": 16_384}
            models.append({"id": lane.model, "owned_by": "sim", **limits, "candidates": candidates})
        return {"version": 1, "channels": channels, "models": models}

    def lane(self, credit: str | None = "100", wallet: str | None = "1000", prefix: str = "m") -> Lane:
        """A lane that no test has used, with money in its account's buckets."""
        lane = Lane(f"{prefix}{next(self._lanes[prefix])}", self.account())
        for bucket, amount in (("credit", credit), ("wallet", wallet)):
            if amount is not None:
                self.top_up(lane, bucket, amount)
        return lane

    def account(self) -> str:
        """An account that no test has used, announced as edge would."""
        if not self._accounts:
            self._accounts = new_accounts(self.kafka, self.urls["settlement"], ACCOUNTS)
        return self._accounts.pop()

    def top_up(self, lane: Lane, bucket: str, amount: str) -> None:
        """Pay money into a bucket of the lane's account."""
        paid = {
            "account_id": lane.account_id,
            "bucket": bucket,
            "amount": amount,
            "provider": "test",
            "payment_id": uuid4().hex,
        }
        self.post("settlement", "/admin/topups", json=paid)

    def post(self, service: str, path: str, **more: Any) -> Any:
        """An operator's call."""
        reply = self.http.post(self.urls[service] + path, **more)
        assert reply.is_success, reply.text
        return reply.json()

    def get(self, service: str, path: str, **params: str) -> Any:
        """An operator's question."""
        reply = self.http.get(self.urls[service] + path, params=params)
        assert reply.is_success, reply.text
        return reply.json()

    def script(self, channel: str, *faults: dict[str, Any]) -> None:
        """Script faults on a channel of the provider."""
        self.post("provider", "/control/faults", json={"channel": channel, "faults": faults})

    def pace(self, channel: str, **pace: float) -> None:
        """Slow a channel of the provider down; milliseconds."""
        self.post("provider", "/control/pace", json={"channel": channel, **pace})

    def stats(self, channel: str) -> dict[str, Any]:
        """What a channel of the provider did."""
        found = self.get("provider", "/control/stats", channel=channel)["channels"]
        stats: dict[str, Any] = found[0] if found else {"requests": 0, "invoice": []}
        return stats

    def asked(self, channel: str) -> list[dict[str, Any]]:
        """The shapes of the requests that a channel of the provider saw."""
        found = self.get("provider", "/control/requests", channel=channel)["channels"]
        shapes: list[dict[str, Any]] = found[0]["requests"] if found else []
        return shapes

    def balances(self, lane: Lane) -> dict[str, dict[str, Any]]:
        """The account's balances by bucket."""
        data = self.get("settlement", f"/admin/accounts/{lane.account_id}/balances")["data"]
        return {row["bucket"]: row for row in data}

    def settled_receipt(self, account_id: str, request_id: UUID) -> dict[str, Any]:
        """The receipt of a request, waited for until nothing of it is pending."""
        give_up_at = time.monotonic() + STORY_TIMEOUT_S
        while True:
            url = f"{self.urls['settlement']}/internal/accounts/{account_id}/receipts/{request_id}"
            reply = self.http.get(url, headers={"authorization": f"Bearer {EDGE}"})
            shown: dict[str, Any] = reply.json()
            if reply.is_success and shown["status"] != "pending":
                return shown
            assert time.monotonic() < give_up_at, shown
            time.sleep(0.05)

    def exposures(self) -> list[dict[str, Any]]:
        """What providers may bill for attempts of the last minutes that they never reported."""
        since, until = (datetime.now(UTC) + timedelta(minutes=minutes) for minutes in (-10, 10))
        found = self.get("settlement", "/admin/unknown-ends", since=since.isoformat(), until=until.isoformat())
        exposed: list[dict[str, Any]] = found["exposures"]
        return exposed

    def client(self) -> httpx.AsyncClient:
        """Edge's connection to router."""
        return httpx.AsyncClient(base_url=self.urls["router"], timeout=60, trust_env=False)


class Asker:
    """Sends requests as edge does."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.http = rig.client()

    async def ask(
        self,
        lane: Lane,
        *,
        policy: dict[str, Any] | None = None,
        content: bytes | None = None,
        path: str = CHAT,
        **body: Any,
    ) -> tuple[UUID, Reply]:
        """One request, read to its end."""
        request_id = uuid4()
        async with self.begin(lane, request_id, policy=policy, content=content, path=path, **body) as response:
            return request_id, Reply(response.status_code, response.headers, await response.aread())

    def begin(
        self,
        lane: Lane,
        request_id: UUID,
        *,
        policy: dict[str, Any] | None = None,
        content: bytes | None = None,
        path: str = CHAT,
        **body: Any,
    ) -> Any:
        """One request whose reply the test reads itself."""
        message = {"model": lane.model, **body}
        if "input" not in body:
            message.setdefault("messages", [{"role": "user", "content": "hello " * 100}])
        headers = {"authorization": f"Bearer {EDGE}", CONTEXT_HEADER: context(lane, request_id, policy)}
        return self.http.stream("POST", path, content=content or orjson.dumps(message), headers=headers)


def context(lane: Lane, request_id: UUID, policy: dict[str, Any] | None) -> str:
    """What edge tells router about a request."""
    document = {
        "request_id": str(request_id),
        "account_id": lane.account_id,
        "key": {"project_id": "prj-1", "key_id": "abcdefghijkl", "key_name": "test"},
        "environment": "test",
        "policy": policy or {},
        "tags": lane.tags or {"feature": "router-test"},
        "accepted_at": datetime.now(UTC).isoformat(),
        "tell_tokens": lane.tell_tokens,
    }
    return orjson.dumps(document).decode()


class Story:
    """The events of one request, in the order of the log."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events

    @property
    def completed(self) -> RequestCompletedData:
        """The one RequestCompleted."""
        [event] = [event for event in self.events if isinstance(event, RequestCompleted)]
        return event.data

    @property
    def types(self) -> list[str]:
        """The events' types, in order."""
        return [event.type for event in self.events]

    def assert_consistent(self) -> None:
        """The smaller events tell the same as the one that settles."""
        data = self.completed
        started = [event.data for event in self.events if isinstance(event, AttemptStarted)]
        finished = [event.data.attempt for event in self.events if isinstance(event, AttemptFinished)]
        taken = [event.data.fallback for event in self.events if isinstance(event, FallbackTaken)]
        assert finished == data.attempts
        assert taken == data.fallbacks
        assert (
            [each.attempt for each in started] == [each.attempt for each in data.attempts] == list(range(1, len(started) + 1))
        )
        assert {each.hold_id for each in data.attempts} <= set(data.hold_ids)
        assert self.types[-1] == "RequestCompleted"


def expected_charge(route_type: str, usage: Usage) -> int:
    """What a usage costs at the test's prices."""
    return charge_nano(PRICES[route_type], usage)


async def story(kafka: str, request_id: UUID) -> Story:
    """The request's events; waits until it is completed."""
    consumer = AIOKafkaConsumer(
        ATTEMPTS, bootstrap_servers=kafka, group_id=None, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    found: list[Event] = []
    try:
        async with asyncio.timeout(STORY_TIMEOUT_S):
            async for event in _events(consumer):
                if event.request_id == request_id and event.event_id not in {each.event_id for each in found}:
                    found.append(event)
                    if isinstance(event, RequestCompleted):
                        return Story(found)
    finally:
        await consumer.stop()
    raise AssertionError("the log ended")


async def _events(consumer: AIOKafkaConsumer) -> AsyncIterator[Event]:
    async for message in consumer:
        yield decode(ATTEMPTS, dict(message.headers)["type"].decode(), message.value)


__all__ = ["CHECKOUT", "Asker", "Lane", "Reply", "Rig", "Story", "expected_charge", "story"]
