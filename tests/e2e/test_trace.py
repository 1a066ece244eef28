"""Real request sizes, concurrently, with faults: every charge right to the last unit, every record complete."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from deploy.local.traffic import Size
from schemas import topics
from tests.e2e import books
from tests.e2e.driver import Customer, Driver, Reply, amount, chat_body
from tests.oracle import Oracle, Tokens
from tests.traffic import sizes

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

REQUESTS = 2_400
CONCURRENCY = 24
MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-5-mini")
TOP_UPS = {"credit": Decimal(500), "wallet": Decimal(3000)}


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One request of the trace and what came back."""

    key_name: str
    tokens: Tokens
    reply: Reply


def _plan(index: int, size: Size) -> tuple[str, dict[str, Any], Tokens]:
    """Key, body and true token counts of the index-th request."""
    name = ("direct", "pooled", "crossing")[index % 3]
    model = "deepseek-chat" if name == "pooled" and index % 2 else MODELS[index % len(MODELS)]
    if name == "pooled" and model == "gpt-4.1":
        model = "gpt-4o-mini"
    cached = size.prompt // 3 if index % 5 == 0 else 0
    body = chat_body(model, size, stream=index % 2 == 0, cached=cached, capped=index % 7 != 0)
    return name, body, Tokens(prompt=size.prompt, output=size.output, cached=cached)


async def _send_all(driver: Driver, customer: Customer) -> list[Sent]:
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one(index: int, size: Size) -> Sent:
        name, body, tokens = _plan(index, size)
        async with gate:
            reply = await driver.chat(customer.keys[name], body, **{"x-tollbook-tags": f"feature=trace,n={index % 10}"})
        return Sent(key_name=name, tokens=tokens, reply=reply)

    return list(await asyncio.gather(*(one(i, size) for i, size in enumerate(sizes(REQUESTS)))))


async def _script_faults(driver: Driver) -> None:
    await driver.faults(
        "openai-main",
        [
            {"kind": kind, "probability": 0.03, "seed": seed}
            for seed, kind in enumerate(("500", "503", "refuse", "malformed", "burned"), start=1)
        ]
        + [{"kind": "429", "probability": 0.03, "seed": 9, "retry_after_s": 0.05}],
    )
    await driver.faults(
        "pool-a", [{"kind": "500", "probability": 0.05, "seed": 11}, {"kind": "burned", "probability": 0.05, "seed": 12}]
    )


def _assert_receipt(receipt: dict[str, Any], sent: Sent, customer: Customer, oracle: Oracle) -> tuple[str, Decimal]:
    """The receipt explains the charge, and the charge is the oracle's."""
    assert receipt["status"] == "settled", receipt
    last = receipt["attempts"][-1]
    assert last["charged"]
    assert last["channel"] == sent.reply.headers["x-tollbook-channel"]
    expected = oracle.charge(last["route_type"], last["upstream_model"], sent.tokens)
    charge = receipt["charge"]
    assert (charge["bucket"], charge["currency"]) == (expected.bucket, expected.currency)
    assert amount(charge["amount_nano"]) == expected.amount, receipt
    assert Decimal(str(sent.reply.usage["cost"])) == expected.amount
    assert charge["hold_nano"] == charge["amount_nano"] + charge["released_nano"]
    assert charge["overrun_nano"] == 0
    assert receipt["balance"]["before_nano"] - receipt["balance"]["after_nano"] == charge["amount_nano"]
    assert (receipt["key_id"], receipt["project_id"]) == (customer.key_ids[sent.key_name], customer.project_id)
    assert receipt["tags"]["feature"] == "trace"
    assert receipt["plan"]
    assert receipt["explanation"]
    assert len(receipt["fallbacks"]) == int(sent.reply.headers["x-tollbook-fallbacks"])
    assert all(fallback["reason"] for fallback in receipt["fallbacks"])
    assert all(a["error_class"] and a["cost_nano"] is not None for a in receipt["attempts"][:-1])
    return expected.bucket, expected.amount


def _add_broken(receipt: dict[str, Any], sent: Sent, oracle: Oracle, spent: dict[str, Decimal]) -> None:
    """A request without a whole answer costs nothing, or what had been streamed when the stream broke."""
    if receipt["status"] != "settled":
        assert receipt["status"] in {"released", "refused"}, receipt
        return
    last = receipt["attempts"][-1]
    assert sent.reply.status == 200, receipt
    assert (last["charged"], last["outcome"], last["error_class"]) == (True, "failed", "malformed_reply"), receipt
    # No usage was reported: the prompt is estimated at four characters a token, and the traffic's words have five.
    most = Tokens(prompt=sent.tokens.prompt * 5 // 4 + 8, output=sent.tokens.output)
    whole = oracle.charge(last["route_type"], last["upstream_model"], most)
    charged = amount(receipt["charge"]["amount_nano"])
    assert 0 < charged < whole.amount, receipt
    spent[whole.bucket] += charged


async def test_every_charge_of_real_traffic_equals_the_oracle_to_the_last_unit(
    driver: Driver, described: dict[str, Any]
) -> None:
    oracle = Oracle()
    customer = await driver.customer(
        direct={"route_types": ["direct"]},
        pooled={"route_types": ["pooled"]},
        crossing={"route_types": ["direct", "pooled"], "cross_bucket": True, "max_attempts": 6},
    )
    for bucket, sum_in in TOP_UPS.items():
        await driver.top_up(customer.account_id, bucket, str(sum_in))
    await _script_faults(driver)
    sent = await _send_all(driver, customer)
    await driver.clear_faults()
    answered = [one for one in sent if one.reply.ok]
    # Some models have one direct channel alone: what its faults and its resting breaker cost depends on the machine's pace.
    assert len(answered) >= 2_000, [one.reply for one in sent if not one.reply.ok][:5]
    assert {one.reply.status for one in sent} <= {200, 429, 502, 503, 504}

    await books.settled(driver)
    kafka = await books.loaded(driver)
    spent: dict[str, Decimal] = defaultdict(Decimal)
    for one in answered:
        receipt = await driver.receipt(customer.keys[one.key_name], one.reply.request_id)
        bucket, cost = _assert_receipt(receipt, one, customer, oracle)
        spent[bucket] += cost
    for one in sent:
        if not one.reply.ok:
            receipt = await driver.receipt(customer.keys[one.key_name], one.reply.request_id)
            _add_broken(receipt, one, oracle, spent)

    balances = await driver.balances(customer.keys["direct"])
    assert {bucket: amount(balances[bucket]["posted_nano"]) for bucket in TOP_UPS} == {
        bucket: TOP_UPS[bucket] - spent[bucket] for bucket in TOP_UPS
    }
    assert all(row["held_nano"] == 0 for row in balances.values())
    assert any(int(one.reply.headers["x-tollbook-fallbacks"]) for one in answered), "the faults caused no fallback"
    completed = kafka[topics.ATTEMPTS].ids_by_type["RequestCompleted"]
    assert len(completed) >= len(answered)
    assert books.inbox_ids(described["postgres_dsn"]) == completed
    books.ledger_check(described)
