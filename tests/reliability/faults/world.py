"""The running stack with routes of our own beside the catalog's, and customers who ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import yaml

from deploy.local.seed import CATALOG, expanded
from tests.e2e import books
from tests.e2e.driver import Customer, Driver

AT_ONCE = 24
FUNDS = {"credit": "1000000", "wallet": "1000000"}
LIMITS = {"owned_by": "faults", "max_input_tokens": 128_000, "max_output_tokens": 16_384}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client saw of one request: `complete` where it got a whole answer."""

    status: int
    headers: httpx.Headers
    body: bytes
    complete: bool

    @property
    def request_id(self) -> str | None:
        """Tollbook's id of the request, None where it was refused before it had one."""
        found: str | None = self.headers.get("x-request-id")
        return found


@dataclass(slots=True)
class World:
    """The stack as one proof uses it."""

    driver: Driver
    customers: list[Customer] = field(default_factory=list)
    asked: int = 0

    async def route(self, channels: Iterable[dict[str, Any]], models: Iterable[dict[str, Any]]) -> None:
        """Put the catalog's routes in force with these beside them."""
        text = expanded(CATALOG / "routes.yaml", {"TOLLBOOK_PROVIDER_URL": self.driver.stack["provider_url"]})
        table = yaml.safe_load(text)
        table["channels"] += channels
        table["models"] += models
        await self.driver.admin("router", "/admin/routes", table)

    async def open(self, customers: int) -> None:
        """So many customers with money in both buckets."""
        for _ in range(customers):
            customer = await self.driver.customer(all={})
            for bucket, amount in FUNDS.items():
                await self.driver.top_up(customer.account_id, bucket, amount)
            self.customers.append(customer)

    @property
    def accounts(self) -> list[str]:
        """Whose books are reckoned."""
        return [customer.account_id for customer in self.customers]

    async def ask(self, path: str, content: bytes) -> Seen:
        """One request by the next customer in turn, read to its end."""
        self.asked += 1
        key = self.customers[self.asked % len(self.customers)].keys["all"]
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json", "idempotency-key": uuid4().hex}
        try:
            async with self.driver.http.stream(
                "POST", self.driver.stack["edge_url"] + path, content=content, headers=headers
            ) as r:
                body, complete = b"", True
                try:
                    async for part in r.aiter_raw():
                        body += part
                except httpx.TransportError:
                    complete = False
                return Seen(r.status_code, r.headers, body, complete and r.status_code == 200 and ended(r.headers, body))
        except httpx.TransportError as error:
            return Seen(0, httpx.Headers(), repr(error).encode(), complete=False)


def ended(headers: httpx.Headers, body: bytes) -> bool:
    """Whether a reply of status 200 is whole, in any of the clients' shapes."""
    if not headers.get("content-type", "").startswith("text/event-stream"):
        return True
    return any(end in body for end in (b"data: [DONE]", b"event: message_stop", b"event: response.completed", INCOMPLETE))


INCOMPLETE = b"event: response.incomplete"
"""A response that was cut at its cap is whole: the model was told to stop there."""


async def at_once(work: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """All of it, so many at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(each: Callable[[], Awaitable[T]]) -> T:
        async with gate:
            return await each()

    return list(await asyncio.gather(*(one(each) for each in work)))


async def quiet(driver: Driver, within_s: float = 120) -> None:
    """Wait until nothing is under way, then prove the ledger."""
    await books.settled(driver, within_s=within_s)
    await asyncio.to_thread(books.ledger_check, driver.stack)
