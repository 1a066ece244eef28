"""What the official `openai` client does by itself when something goes wrong: retries, timeouts, cancellation, typed errors."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.e2e import books
from tests.e2e.driver import Driver

pytestmark = pytest.mark.stack

CHANNELS = ("openai-main", "openai-backup")
ASKED: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 20}


@pytest.fixture
async def key(driver: Driver) -> str:
    """A key of an account of its own, for direct routes."""
    customer = await driver.customer(main={"route_types": ["direct"]})
    await driver.top_up(customer.account_id, "credit", "5")
    return customer.keys["main"]


@pytest.fixture
async def client(described: dict[str, Any], key: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{described['edge_url']}/v1", api_key=key, max_retries=2) as made:
        yield made


async def _break(driver: Driver, kind: str, times: int, **more: Any) -> None:
    for channel in CHANNELS:
        await driver.faults(channel, [{"kind": kind, "times": times, **more}])


async def _receipts(driver: Driver, key: str, request_ids: list[str]) -> list[dict[str, Any]]:
    await books.settled(driver)
    return [await driver.receipt(key, request_id) for request_id in request_ids]


async def test_a_server_error_is_tried_again_by_the_client_and_charged_once(
    driver: Driver, client: AsyncOpenAI, key: str
) -> None:
    await _break(driver, "500", 2)
    raw = await client.chat.completions.with_raw_response.create(**ASKED)
    assert raw.retries_taken == 1
    assert raw.parse().choices[0].message.content
    balance = (await driver.balances(key))["credit"]
    [receipt] = await _receipts(driver, key, [raw.headers["x-request-id"]])
    assert receipt["status"] == "settled"
    assert balance["posted_nano"] >= 5_000_000_000 - receipt["charge"]["amount_nano"]


async def test_a_clients_last_try_raises_what_the_server_said(driver: Driver, client: AsyncOpenAI) -> None:
    await _break(driver, "500", 2)
    with pytest.raises(openai.InternalServerError) as failed:
        await client.with_options(max_retries=0).chat.completions.create(**ASKED)
    assert (failed.value.status_code, failed.value.code) == (502, "upstream_error")


async def test_what_only_a_decision_lifts_is_not_tried_again(described: dict[str, Any], driver: Driver) -> None:
    customer = await driver.customer(poor={"route_types": ["direct"]}, forbidden={"models": ["gpt-5"]})
    async with AsyncOpenAI(base_url=f"{described['edge_url']}/v1", api_key=customer.keys["poor"], max_retries=2) as poor:
        for ask in (
            poor.chat.completions.create(**ASKED),
            poor.responses.create(model="gpt-4o", input="hello"),
            poor.embeddings.create(model="text-embedding-3-small", input="hello"),
        ):
            with pytest.raises(openai.APIStatusError) as refused:
                await ask
            assert (refused.value.status_code, refused.value.code) == (402, "insufficient_balance")
            assert refused.value.response.headers["x-should-retry"] == "false"
        await driver.top_up(customer.account_id, "credit", "1")
        await poor.chat.completions.create(**ASKED, extra_headers={"idempotency-key": "r-1"})
        other = {**ASKED, "max_tokens": 21}
        with pytest.raises(openai.ConflictError) as conflict:
            await poor.chat.completions.create(**other, extra_headers={"idempotency-key": "r-1"})
        assert conflict.value.code == "idempotency_conflict"
    async with AsyncOpenAI(base_url=f"{described['edge_url']}/v1", api_key=customer.keys["forbidden"]) as forbidden:
        with pytest.raises(openai.PermissionDeniedError):
            await forbidden.responses.create(model="gpt-4o", input="hello")


async def test_a_window_that_a_clock_lifts_is_a_rate_limit(described: dict[str, Any], driver: Driver) -> None:
    customer = await driver.customer(main={"route_types": ["direct"]})
    await driver.top_up(customer.account_id, "credit", "5")
    limit = {"account_id": customer.account_id, "kind": "key", "id": customer.key_ids["main"], "currency": "USD"}
    await driver.admin("settlement", "/admin/limits", {**limit, "window": "month", "limit": "0.000001"})
    async with AsyncOpenAI(base_url=f"{described['edge_url']}/v1", api_key=customer.keys["main"], max_retries=2) as client:
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(**ASKED)
    assert refused.value.code == "budget_exceeded"
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert int(refused.value.response.headers["retry-after"]) > 0


async def test_a_client_that_times_out_leaves_no_open_hold(driver: Driver, client: AsyncOpenAI, key: str) -> None:
    await driver.faults("openai-main", [{"kind": "slow", "times": 2, "latency_ms": 1_500}])
    hasty = client.with_options(max_retries=0, timeout=0.3)
    with pytest.raises(openai.APITimeoutError):
        await hasty.chat.completions.create(**ASKED)
    with pytest.raises(openai.APITimeoutError):
        await hasty.responses.create(model="gpt-4o", input="hello")
    await _until_nothing_is_held(driver, key)


async def test_a_cancelled_stream_is_settled_for_what_was_made(driver: Driver, client: AsyncOpenAI, key: str) -> None:
    text = "[sim output_tokens=200 chunk_ms=10]"
    chat = await client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": text}], max_tokens=200, stream=True
    )
    assert await anext(aiter(chat))
    await chat.close()
    response = await client.responses.create(model="gpt-4o", input=text, max_output_tokens=200, stream=True)
    seen = asyncio.Event()

    async def read() -> None:
        async for _ in response:
            seen.set()

    reading = asyncio.create_task(read())
    await seen.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await response.close()
    await _until_nothing_is_held(driver, key)
    ids = [each.response.headers["x-request-id"] for each in (chat, response)]
    for receipt in await _receipts(driver, key, ids):
        assert receipt["status"] == "settled"
        assert receipt["charge"]["amount_nano"] > 0


async def _until_nothing_is_held(driver: Driver, key: str) -> None:
    for _ in range(600):
        if (await driver.balances(key))["credit"]["held_nano"] == 0:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("a hold stays open")
