"""A key with limits per minute through every process: what each answer really took is what counts, streamed or not."""

import time
from typing import Any

import pytest

from tests.e2e import books
from tests.e2e.driver import Driver
from tests.integration.edge.processes import until

pytestmark = pytest.mark.stack

LIMIT = 20_000
CAP = 15_000
CLASSES = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens")
ASKED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": CAP},
    "/v1/responses": {"input": "hi", "max_output_tokens": CAP},
    "/v1/messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": CAP},
}
PROBE = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 1,
    "metadata": {"sim_output_tokens": "1"},
}


async def _key(driver: Driver) -> str:
    customer = await driver.customer(app={"route_types": ["direct"]})
    await driver.top_up(customer.account_id, "credit", "5")
    body = {"project_id": customer.project_id, "name": "paced", "tokens_per_minute": LIMIT}
    made: dict[str, Any] = await driver.admin("edge", "/admin/keys", body)
    return str(made["api_key"])


async def _left(driver: Driver, key: str) -> int:
    reply = await driver.send(key, "POST", "/v1/chat/completions", PROBE)
    assert reply.status_code == 200, reply.text
    return int(reply.headers["x-ratelimit-remaining-tokens"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", list(ASKED))
async def test_an_answer_counts_in_the_end_by_the_tokens_that_it_took(driver: Driver, path: str, *, stream: bool) -> None:
    # A minute of the clock does not turn within the test, so that nothing wears off.
    until(lambda: time.time() % 60 < 40)
    fresh = await _left(driver, await _key(driver))
    key = await _key(driver)
    reply = await driver.send(key, "POST", path, {"model": "gpt-4o", "stream": stream, **ASKED[path]})
    assert reply.status_code == 200, reply.text
    assert int(reply.headers["x-ratelimit-remaining-tokens"]) < LIMIT - CAP
    assert "tollbook-tokens" not in reply.text
    taken = fresh - await _left(driver, key)
    await books.settled(driver)
    usage = (await driver.receipt(key, reply.headers["x-request-id"]))["charge"]["usage"]
    assert taken == sum(usage[name] for name in CLASSES) > 0
