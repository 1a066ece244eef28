"""Continuous load of several customers: plain and streamed, near the end of their money and of their limits, with faults."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any, TypeVar
from uuid import uuid4

import httpx

from deploy.local.traffic import Size
from tests.e2e.driver import Customer, Driver
from tests.reliability.crash.clients import Asked, Clients

T = TypeVar("T")
WORKERS = 8
RAISE_PAUSE_S = 3.0
RETRY_PAUSE_S = 0.3
REFUSED_PAUSE_S = 0.25
LOOK_S = 0.05
CALL_TIMEOUT_S = 120.0
MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1")
FUNDS = {
    "rich": {"credit": Decimal(200)},
    "crossing": {"credit": Decimal(100), "wallet": Decimal(600)},
    "poor": {"credit": Decimal("0.05")},
    "limited": {"credit": Decimal(100)},
    "running": {"credit": Decimal(20)},
}
POLICIES: dict[str, dict[str, Any]] = {
    "rich": {"route_types": ["direct"]},
    "crossing": {"route_types": ["direct", "pooled"], "cross_bucket": True, "max_attempts": 6},
    "poor": {"route_types": ["direct"]},
    "limited": {"route_types": ["direct"]},
    "running": {"route_types": ["direct"]},
}
FAULTS = {
    "openai-main": {"500": 0.04, "503": 0.02, "429": 0.02, "burned": 0.02, "cut": 0.03, "malformed": 0.02, "refuse": 0.02},
    "openai-backup": {"500": 0.05, "timeout": 0.005},
    "pool-a": {"500": 0.05, "cut": 0.03},
}


@dataclass(frozen=True, slots=True)
class Load:
    """What was asked, by whom, and what was paid in."""

    customers: dict[str, Customer]
    asked: list[Asked]
    funds: dict[tuple[str, str], Decimal]


class Storm:
    """Asks from several workers at once until it is stopped; an operator tops up and raises limits meanwhile."""

    def __init__(self, driver: Driver, clients: Clients, seed: int) -> None:
        self._driver = driver
        self._clients = clients
        self._draw = Random(seed)
        self._running = True
        self._tasks: list[asyncio.Task[None]] = []
        self._limit = Decimal("0.05")
        self._run_id = ""
        self.load = Load({}, [], defaultdict(Decimal))

    async def start(self) -> None:
        """Make the customers, script the faults, and let it begin."""
        for name, policy in POLICIES.items():
            customer = self.load.customers[name] = await self._driver.customer(any=policy)
            for bucket, amount in FUNDS[name].items():
                await self._top_up(customer, bucket, amount)
        await self._raise_limit()
        self._run_id = (await self._of_run("", {"budget": {"credit": "0.03"}}))["id"]
        for channel, kinds in FAULTS.items():
            faults = [
                {"kind": kind, "probability": share, "seed": seed, **({"retry_after_s": 0.05} if kind == "429" else {})}
                for seed, (kind, share) in enumerate(kinds.items())
            ]
            await self._driver.faults(channel, faults)
        self._tasks = [asyncio.create_task(self._ask_on()) for _ in range(WORKERS)]
        self._tasks.append(asyncio.create_task(self._raise_on()))

    async def stop(self) -> None:
        """Ask nothing more; return when every client has its reply, or knows that none will come."""
        self._running = False
        await asyncio.gather(*self._tasks)
        await self._of_run(f"/{self._run_id}/close", {})
        await self._driver.clear_faults()

    async def answers(self, more: int) -> None:
        """Return when so many more replies have come whole."""
        wanted = self._answered + more
        async with asyncio.timeout(CALL_TIMEOUT_S):
            while self._answered < wanted:  # noqa: ASYNC110 - polls what other tasks count
                await asyncio.sleep(LOOK_S)

    @property
    def _answered(self) -> int:
        return sum(each.whole for each in self.load.asked)

    async def _ask_on(self) -> None:
        draw = self._draw
        while self._running:
            name = draw.choice(list(self.load.customers))
            stream = draw.random() < 0.5
            asked = self._clients.ask(
                self.load.customers[name],
                Size(prompt=draw.randint(20, 300), output=draw.randint(10, 80)),
                model=draw.choice(MODELS),
                stream=stream,
                pace_ms={"latency": draw.randint(0, 250), "chunk": draw.randint(1, 20) if stream else 0},
                run_id=self._run_id if name == "running" else None,
            )
            self.load.asked.append(asked)
            await asked.done()
            if not asked.whole:
                await asyncio.sleep(REFUSED_PAUSE_S)

    async def _raise_on(self) -> None:
        while self._running:
            await self._top_up(self.load.customers["poor"], "credit", Decimal("0.01"))
            await self._raise_limit()
            await self._of_run(f"/{self._run_id}/extend", {"budget": {"credit": "0.01"}})
            await asyncio.sleep(RAISE_PAUSE_S)

    async def _top_up(self, customer: Customer, bucket: str, amount: Decimal) -> None:
        """One payment, told again under its own id until somebody says that it is booked."""
        payment_id = f"storm-{uuid4().hex}"
        await _insist(lambda: self._driver.top_up(customer.account_id, bucket, str(amount), payment_id))
        self.load.funds[customer.account_id, bucket] += amount

    async def _of_run(self, path: str, body: dict[str, Any]) -> Any:
        """A customer's call about its run, told again under its own idempotency key until somebody answers."""
        key = self.load.customers["running"].keys["any"]
        headers = {"authorization": f"Bearer {key}", "idempotency-key": uuid4().hex}

        async def call() -> Any:
            reply = await self._driver.http.post(f"{self._driver.stack['edge_url']}/v1/runs{path}", json=body, headers=headers)
            assert reply.is_success, reply.text
            return reply.json()

        return await _insist(call)

    async def _raise_limit(self) -> None:
        customer = self.load.customers["limited"]
        self._limit += Decimal("0.01")
        for kind, entity in (("key", customer.key_ids["any"]), ("project", customer.project_id)):
            body = {
                "account_id": customer.account_id,
                "kind": kind,
                "id": entity,
                "currency": "USD",
                "window": "total" if kind == "key" else "day",
                "limit": str(self._limit),
            }
            await _insist(lambda body=body: self._driver.admin("settlement", "/admin/limits", body))  # type: ignore[misc]


async def _insist(call: Callable[[], Awaitable[T]]) -> T:
    """Call until it succeeds: whoever was to answer may have been killed."""
    async with asyncio.timeout(CALL_TIMEOUT_S):
        while True:
            try:
                return await call()
            except (httpx.TransportError, AssertionError):
                await asyncio.sleep(RETRY_PAUSE_S)
