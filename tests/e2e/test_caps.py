"""An upstream that writes more than it was allowed, and a balance that buys less than the usual cap, through every process."""

import json
from typing import Any

import pytest

from tests.e2e import books
from tests.e2e.driver import Driver

pytestmark = pytest.mark.stack

CAP = 40
UNRULY = {"sim_input_tokens": "20", "sim_output_tokens": "150", "sim_ignore_cap": "1"}


def _body(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": "Go on"}], "metadata": UNRULY, **fields}


async def _customer(driver: Driver, amount: str) -> str:
    customer = await driver.customer(app={"route_types": ["direct"]})
    await driver.top_up(customer.account_id, "credit", amount)
    return customer.keys["app"]


@pytest.mark.parametrize("choices", [1, 2])
async def test_a_stream_beyond_its_cap_is_cut_and_costs_at_most_its_hold(driver: Driver, choices: int) -> None:
    key = await _customer(driver, "1")
    reply = await driver.http.post(
        f"{driver.stack['edge_url']}/v1/chat/completions",
        json=_body(stream=True, stream_options={"include_usage": True}, max_tokens=CAP, n=choices),
        headers={"authorization": f"Bearer {key}"},
    )
    *_, finish, usage = [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: {")]
    assert reply.text.endswith("data: [DONE]\n\n")
    assert [each["finish_reason"] for each in finish["choices"]] == ["length"] * choices
    assert usage["usage"]["completion_tokens"] == CAP * choices
    await books.settled(driver)
    receipt = await driver.receipt(key, reply.headers["x-request-id"])
    charge = receipt["charge"]
    assert (receipt["status"], charge["overrun_nano"], charge["usage"]["output_tokens"]) == ("settled", 0, CAP * choices)
    assert 0 < charge["amount_nano"] <= charge["hold_nano"]
    assert usage["usage"]["cost"] == charge["amount"]
    assert f"at most {CAP} tokens out for each choice" in " ".join(receipt["explanation"])


async def test_a_plain_reply_beyond_its_cap_takes_the_excess_from_the_balance_and_says_so(driver: Driver) -> None:
    """Its tokens were delivered and the provider bills them: the hold is captured, and what is above it is named."""
    key = await _customer(driver, "1")
    reply = await driver.chat(key, _body(max_tokens=CAP))
    assert (reply.status, reply.usage["completion_tokens"]) == (200, 150)
    await books.settled(driver)
    receipt = await driver.receipt(key, reply.request_id)
    charge = receipt["charge"]
    assert charge["overrun_nano"] == charge["amount_nano"] - charge["hold_nano"] > 0
    assert receipt["balance"]["before_nano"] - receipt["balance"]["after_nano"] == charge["amount_nano"]
    assert "The provider counted more than was held" in " ".join(receipt["explanation"])


async def test_a_request_without_max_tokens_gets_what_a_small_balance_buys(driver: Driver) -> None:
    key = await _customer(driver, "0.001")
    reply = await driver.chat(key, _body(metadata={"sim_input_tokens": "5", "sim_output_tokens": "5000"}))
    assert reply.status == 200, reply.body
    await books.settled(driver)
    receipt = await driver.receipt(key, reply.request_id)
    assert 0 < receipt["holds"][0]["output_cap"] < 256
    assert reply.usage["completion_tokens"] == receipt["holds"][0]["output_cap"]
    assert receipt["balance"]["after_nano"] >= 0
