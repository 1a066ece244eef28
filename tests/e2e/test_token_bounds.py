"""Over a corpus of prompts whose tokens are known, no charge of the whole stack is above its hold."""

import re

import httpx
import pytest

from deploy.local.stack import Stack
from tests.e2e.books import settled
from tests.e2e.driver import Driver
from tests.unit.router.prompts import billed, bodies

pytestmark = pytest.mark.stack
COUNTERS = {
    "router": "tollbook_router_hold_overruns_total",
    "settlement-worker": "tollbook_settlement_overruns_total",
}


def overruns(running: Stack) -> dict[str, float]:
    """What both services count of charges above their holds."""
    ports, counted = running.ports(), {}
    for name, counter in COUNTERS.items():
        text = httpx.get(f"http://127.0.0.1:{ports[name]}/metrics").text
        found = re.search(rf"^{counter} (\S+)$", text, re.MULTILINE)
        assert found, name
        counted[name] = float(found[1])
    return counted


async def test_no_prompt_of_the_corpus_is_charged_above_its_hold(running: Stack, driver: Driver) -> None:
    customer = await driver.customer(app={})
    await driver.top_up(customer.account_id, "credit", "10")
    before, asked = overruns(running), []
    for body in bodies()[1::3]:
        tokens = billed(body, "o200k_base")
        reply = await driver.chat(
            customer.keys["app"], {**body, "model": "gpt-4o", "max_tokens": 1, "metadata": {"sim_input_tokens": str(tokens)}}
        )
        assert reply.ok, reply.body
        assert reply.usage["prompt_tokens"] == tokens
        asked.append(reply.request_id)
    await settled(driver)
    for request_id in asked:
        receipt = await driver.receipt(customer.keys["app"], request_id)
        assert receipt["charge"]["overrun_nano"] == 0
        assert receipt["charge"]["amount_nano"] <= receipt["charge"]["hold_nano"]
    assert len(asked) >= 20
    assert overruns(running) == before
