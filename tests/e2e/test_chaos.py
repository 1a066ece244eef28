"""Parts of the stack are stopped or killed under load: nothing is lost, nothing is posted twice, no client was lied to."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from deploy.local.stack import Stack
from deploy.local.traffic import Size
from schemas import topics
from tests.e2e import books
from tests.e2e.driver import Customer, Driver, Reply, amount, chat_body
from tests.oracle import Oracle, Tokens
from tests.traffic import sizes

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.timeout(400)]

PAUSE_S = 0.02
TOP_UP = Decimal(200)


class Load:
    """Steady traffic of one customer, until told to stop."""

    def __init__(self, driver: Driver, customer: Customer, workers: int = 6) -> None:
        self._driver, self._customer = driver, customer
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
                self.replies.append((size, await self._driver.chat(self._customer.keys["any"], body)))
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


async def _under_load(driver: Driver, trouble: Callable[[Load], Awaitable[None]]) -> tuple[Customer, Load]:
    customer = await driver.customer(any={"route_types": ["direct"]})
    await driver.top_up(customer.account_id, "credit", str(TOP_UP))
    load = Load(driver, customer)
    await _answers_grow(load, 40)
    await trouble(load)
    await _answers_grow(load, 60)
    await load.stop()
    return customer, load


async def _answers_grow(load: Load, more: int, within_s: float = 60) -> None:
    want = len(load.answered) + more
    async with asyncio.timeout(within_s):
        while len(load.answered) < want:  # noqa: ASYNC110 - polls what other tasks count
            await asyncio.sleep(0.05)


async def _assert_books_balance(driver: Driver, described: dict[str, Any], customer: Customer, load: Load) -> None:
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


async def test_kafka_away_for_20_s_loses_and_doubles_nothing(driver: Driver, described: dict[str, Any], running: Stack) -> None:
    async def outage(load: Load) -> None:
        await asyncio.to_thread(running.stop, "kafka")
        before = len(load.answered)
        await asyncio.sleep(20)
        assert len(load.answered) > before, "settlement's ingress should have carried the events"
        await asyncio.to_thread(running.start, "kafka")

    customer, load = await _under_load(driver, outage)
    await _assert_books_balance(driver, described, customer, load)


@pytest.mark.parametrize("name", ["settlement-worker", "settlement", "router", "edge", "analytics", "postgres"])
async def test_kill_9_under_load_loses_and_doubles_nothing(
    driver: Driver, described: dict[str, Any], running: Stack, name: str
) -> None:
    async def kill(load: Load) -> None:
        await asyncio.to_thread(running.kill9, name)

    customer, load = await _under_load(driver, kill)
    await _assert_books_balance(driver, described, customer, load)
