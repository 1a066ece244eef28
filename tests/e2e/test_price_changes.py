"""Prices change under load, at once and by date: no request fails, each is charged by the version that its receipt names."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import Stack
from deploy.local.traffic import Size
from schemas.envelope import now
from tests.e2e import books
from tests.e2e.commands import Commands
from tests.e2e.driver import Customer, Driver, Reply, amount, chat_body
from tests.oracle import PRICE_FILE, Oracle, Tokens
from tests.traffic import sizes

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

CHECKOUT = Path(__file__).parents[2]
WORKERS = 4
OLD = 'model: gpt-4o, currency: USD, input: "2.5", cached_input: "1.25", output: "10"'
TEXT = PRICE_FILE.read_text("utf-8")


def priced(output: str) -> str:
    assert OLD in TEXT
    return TEXT.replace(OLD, OLD.replace('"10"', f'"{output}"'))


@pytest.fixture
async def operator(driver: Driver) -> AsyncIterator["Operator"]:
    """Who publishes prices. The catalog's own are in force again afterwards."""
    found = Operator(driver)
    yield found
    await found.publish(TEXT)


class Operator:
    """Publishes prices by the admin API."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._url = f"{driver.stack['settlement_url']}/admin/price-books"
        self._headers = {"authorization": f"Bearer {driver.stack['admin_token']}"}

    async def publish(self, text: str) -> int:
        """The version that is in force now."""
        reply = await self._driver.http.post(self._url, content=text.encode(), headers=self._headers)
        assert reply.is_success, reply.text
        return int(reply.json()["version"])

    async def oracle(self, version: int, folder: Path) -> Oracle:
        """What a version's own export makes of tokens, priced by arithmetic that is not the product's."""
        reply = await self._driver.http.get(f"{self._url}/{version}", headers=self._headers)
        assert reply.is_success, reply.text
        file = folder / f"{version}.json"
        file.write_text(json.dumps(reply.json()["book"]), "utf-8")
        return Oracle(file)


class Load:
    """Requests of one customer, plain and streamed, until told to stop."""

    def __init__(self, driver: Driver, customer: Customer) -> None:
        self._driver, self._key = driver, customer.keys["any"]
        self._running = True
        self.replies: list[tuple[datetime, Size, Reply]] = []
        self._tasks = [asyncio.create_task(self._work(start)) for start in range(WORKERS)]

    async def _work(self, index: int) -> None:
        trace = sizes(200)
        while self._running:
            size, begun = trace[index % len(trace)], now()
            reply = await self._driver.chat(self._key, chat_body("gpt-4o", size, stream=index % 2 == 0))
            self.replies.append((begun, size, reply))
            index += WORKERS - 1

    async def more(self, count: int) -> None:
        """Wait until so many more were answered."""
        want = len(self.replies) + count
        async with asyncio.timeout(120):
            while len(self.replies) < want:  # noqa: ASYNC110 - polls what other tasks count
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        self._running = False
        await asyncio.gather(*self._tasks)


async def shown_price(driver: Driver, key: str) -> str:
    """What `/v1/models` says that a million tokens of an answer cost."""
    found = await driver.ask(key, "GET", "/v1/models/gpt-4o")
    return str(found["pricing"]["direct"]["output"])


async def estimated(driver: Driver, key: str) -> Any:
    """An estimate, which names the version that it is made by."""
    item = {"model": "gpt-4o", "requests": 1, "input_tokens": 400, "output_tokens": 100}
    return await driver.ask(key, "POST", "/v1/estimate", {"items": [item]})


async def test_a_book_of_now_and_one_of_a_date_change_prices_under_load(
    driver: Driver, operator: Operator, tmp_path: Path
) -> None:
    customer = await driver.customer(any={"route_types": ["direct"]})
    key = customer.keys["any"]
    await driver.top_up(customer.account_id, "credit", "500")
    load = Load(driver, customer)
    await load.more(20)
    at_once = await operator.publish(priced("11"))
    published = now()
    await load.more(20)
    instant = now() + timedelta(seconds=12)
    dated = await operator.publish(f"effective_from: {instant.isoformat()}\n{priced('12')}")
    assert await shown_price(driver, key) == "11.00" or now() >= instant
    await asyncio.sleep(max((instant - now()).total_seconds(), 0))
    assert (await estimated(driver, key))["price_version"] == dated
    async with asyncio.timeout(60):
        while await shown_price(driver, key) != "12.00":  # noqa: ASYNC110 - polls another process
            await asyncio.sleep(0.01)
    await load.more(20)
    await load.stop()
    assert [reply.body for _, _, reply in load.replies if not reply.ok] == []
    await books.settled(driver, within_s=120)
    version_of = await _charged_as_named(driver, operator, load, key, tmp_path)
    before = {version_of[reply.request_id] for begun, _, reply in load.replies if published <= begun < instant}
    after = {version_of[reply.request_id] for begun, _, reply in load.replies if begun >= instant}
    # One that began a moment before the instant may have been held a moment after it.
    assert before - {dated} == {at_once}
    assert after == {dated}


async def _charged_as_named(driver: Driver, operator: Operator, load: Load, key: str, folder: Path) -> dict[str, int]:
    """Each request's version. Its charge is what that makes of the tokens, and together they are what the balance lost."""
    oracles: dict[int, Oracle] = {}
    found: dict[str, int] = {}
    total = Decimal(0)
    for _, size, reply in load.replies:
        receipt = await driver.receipt(key, reply.request_id)
        version = found[reply.request_id] = receipt["charge"]["price_version"]
        if version not in oracles:
            oracles[version] = await operator.oracle(version, folder)
        expected = oracles[version].charge("direct", "gpt-4o", Tokens(prompt=size.prompt, output=size.output))
        assert amount(receipt["charge"]["amount_nano"]) == expected.amount, reply.request_id
        total += expected.amount
    assert len(oracles) == 3
    balance = (await driver.balances(key))["credit"]
    assert (amount(balance["posted_nano"]), balance["held_nano"]) == (Decimal(500) - total, 0)
    return found


@pytest.fixture
def tollbook(running: Stack, tmp_path: Path) -> Commands:
    """The command line of this stack."""
    return Commands(running.home.stack_file.parent, tmp_path)


async def test_prices_are_compared_dated_and_taken_back_by_command(
    tollbook: Commands, operator: Operator, tmp_path: Path
) -> None:
    assert await operator.publish(TEXT)
    run: Any = lambda *arguments: asyncio.to_thread(tollbook, *arguments)  # noqa: E731
    shipped = await run("prices", "diff", str(PRICE_FILE), "--exit-code")
    assert (shipped.code, shipped.text.startswith("nothing changes")) == (0, True), shipped.err
    file, exported = tmp_path / "prices.yaml", tmp_path / "exported.yaml"
    file.write_text(priced("12"), "utf-8")
    unasked = await run("prices", "apply", str(file), "--effective-from", "2099-01-01")
    assert (unasked.code, "give --yes" in unasked.err) == (3, True)
    assert "changed price direct gpt-4o\n  output: 10.00 -> 12.00" in unasked.text
    made = (await run("prices", "apply", str(file), "--effective-from", "2099-01-01", "--yes", "--json")).json
    assert (made["status"], made["effective_from"], made["unmatched"] is None) == ("scheduled", "2099-01-01T00:00:00Z", False)
    version = str(made["version"])
    assert (await run("prices", "export", version, "--output", str(exported))).code == 0
    again = (await run("prices", "diff", str(exported), "--beside", version, "--json")).json
    assert (again["same"], again["changes"]) == (True, [])
    taken = await run("prices", "withdraw", version, "--reason", "tried", "--yes")
    assert (taken.code, taken.text) == (0, f"version {version} is withdrawn\n")
    listed = (await run("prices", "list", "--limit", "1", "--json")).json["data"]
    assert [(row["version"], row["status"], row["withdrawn_because"]) for row in listed] == [
        (made["version"], "withdrawn", "tried")
    ]


async def test_what_a_customer_was_charged_in_two_currencies_is_one_margin(driver: Driver, tollbook: Commands) -> None:
    customer = await driver.customer(direct={"route_types": ["direct"]}, pooled={"route_types": ["pooled"]})
    for bucket in ("credit", "wallet"):
        await driver.top_up(customer.account_id, bucket, "20")
    replies = [await driver.chat(customer.keys[name], chat_body("gpt-4o", Size(400, 100))) for name in ("direct", "pooled")]
    assert all(reply.ok for reply in replies)
    await books.settled(driver)
    run: Any = lambda *arguments: asyncio.to_thread(tollbook, *arguments)  # noqa: E731
    set_ = await run("fx", "set", "CNY", "USD", "0.125", "--source", "test", "--json")
    assert set_.code == 0, set_.err
    found = (await run("margin", "--by", "account", "--json")).json
    assert found["unconverted"] == []
    (row,) = [row for row in found["data"] if row["key"] == customer.account_id]
    dollars, yuan = (Decimal(reply.usage["cost"]) for reply in replies)
    assert (row["requests"], amount(row["charged_nano"])) == (2, dollars + yuan / 8)
    assert amount(row["margin_nano"]) == amount(row["charged_nano"] - row["cost_nano"])
