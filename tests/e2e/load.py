"""Steady traffic on the running stack, and what must be true of the books once it has ended."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import httpx

from deploy.local.traffic import Size
from schemas import topics
from tests.e2e import books
from tests.e2e.driver import Customer, Driver, Reply, amount, chat_body
from tests.oracle import Oracle, Tokens
from tests.traffic import sizes

PAUSE_S = 0.02
TOP_UP = Decimal(200)


class Load:
    """Steady traffic of one customer, until told to stop."""

    def __init__(self, driver: Driver, customer: Customer, workers: int = 6) -> None:
        self._driver, self.customer = driver, customer
        self._running = True
        self.replies: list[tuple[Size, Reply]] = []
        self.broken = 0
        self._tasks = [asyncio.create_task(self._work(start)) for start in range(workers)]

    async def _work(self, start: int) -> None:
        trace = sizes(500)
        index = start
        while self._running:
            size = trace[index % len(trace)]
            body = chat_body("gpt-4o", size, stream=index % 2 == 0)
            try:
                self.replies.append((size, await self._driver.chat(self.customer.keys["any"], body)))
            except httpx.TransportError:
                self.broken += 1
                await asyncio.sleep(0.2)
            index += len(self._tasks) if hasattr(self, "_tasks") else 1
            await asyncio.sleep(PAUSE_S)

    async def stop(self) -> None:
        self._running = False
        await asyncio.gather(*self._tasks)

    @property
    def answered(self) -> list[tuple[Size, Reply]]:
        return [(size, reply) for size, reply in self.replies if reply.ok]


async def under_load(driver: Driver, trouble: Callable[[Load], Awaitable[None]]) -> tuple[Customer, Load]:
    """Traffic before, while and after the trouble; returned once it has ended."""
    customer = await driver.customer(any={"route_types": ["direct"]})
    await driver.top_up(customer.account_id, "credit", str(TOP_UP))
    load = Load(driver, customer)
    await answers_grow(load, 40)
    await trouble(load)
    await answers_grow(load, 60)
    await load.stop()
    return customer, load


async def answers_grow(load: Load, more: int, within_s: float = 120) -> None:
    """Wait until so many more requests have been answered well."""
    want = len(load.answered) + more
    async with asyncio.timeout(within_s):
        while len(load.answered) < want:  # noqa: ASYNC110 - polls what other tasks count
            await asyncio.sleep(0.05)


async def assert_books_balance(driver: Driver, described: dict[str, Any], customer: Customer, load: Load) -> None:
    """Every reply that ended well is charged as the oracle says; everything that was charged is in the balance once."""
    oracle = Oracle()
    await books.settled(driver, within_s=120)
    for size, reply in load.answered:
        receipt = await driver.receipt(customer.keys["any"], reply.request_id)
        assert receipt["status"] == "settled", receipt
        model = receipt["attempts"][-1]["upstream_model"]
        expected = oracle.charge("direct", model, Tokens(prompt=size.prompt, output=size.output))
        assert amount(receipt["charge"]["amount_nano"]) == expected.amount
    kafka = await books.loaded(driver, within_s=90)
    completed = kafka[topics.ATTEMPTS].ids_by_type["RequestCompleted"]
    assert books.inbox_ids(described["postgres_dsn"]) == completed
    assert {r.request_id for _, r in load.answered} <= {kafka[topics.ATTEMPTS].events[i]["request_id"] for i in completed}
    charged = _charged(kafka[topics.LEDGER], customer.account_id)
    balances = await driver.balances(customer.keys["any"])
    assert amount(balances["credit"]["posted_nano"]) == TOP_UP - charged
    assert balances["credit"]["held_nano"] == 0
    books.ledger_check(described)


def _charged(ledger: books.Topic, account_id: str) -> Decimal:
    """What the ledger's events say was taken from the account, each request at most once."""
    taken: dict[str, int] = {}
    for event in ledger.events.values():
        if event["account_id"] == account_id and event["type"] in {"Captured", "Expired"}:
            assert event["data"]["hold_id"] not in taken, "two terminal transitions of one hold"
            field = "captured_nano" if event["type"] == "Captured" else "charged_nano"
            taken[event["data"]["hold_id"]] = event["data"][field]
    return amount(sum(taken.values()))
