"""Runs on the whole stack: a runaway job stops at its envelope, limits without an earmark, deadlines, and how requests join."""

import asyncio
import time
from decimal import Decimal
from typing import Any

import pytest
from openai import OpenAI

from deploy.local.traffic import Size
from tests.e2e import books
from tests.e2e.driver import Customer, Driver, Reply, amount, chat_body
from tests.e2e.resting import until_none_rests

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

CALL = chat_body("gpt-4o", Size(100, 100))
DEPOSIT = Decimal(5)
LOOPS = 16
MOST_CALLS = 200


@pytest.fixture(autouse=True)
async def rested(driver: Driver, described: dict[str, Any]) -> None:
    """Channels that tests before let fail answer again: what stops a run is its budget."""
    await until_none_rests(described, "gpt-4o")


async def _customer(driver: Driver) -> Customer:
    customer = await driver.customer(job={"route_types": ["direct"]}, other={"route_types": ["direct"]})
    await driver.top_up(customer.account_id, "credit", str(DEPOSIT))
    return customer


async def _open(driver: Driver, key: str, budget: str, **fields: Any) -> str:
    opened = await driver.ask(key, "POST", "/v1/runs", {"budget": {"credit": budget}, **fields})
    return str(opened["id"])


async def _chat(driver: Driver, key: str, run_id: str) -> Reply:
    return await driver.chat(key, CALL, **{"x-tollbook-run": run_id})


async def _run_away(driver: Driver, key: str, run_id: str) -> list[Reply]:
    """Loops that call as fast as they can, each until it is refused."""

    async def loop() -> list[Reply]:
        seen: list[Reply] = []
        while len(seen) < MOST_CALLS and (not seen or seen[-1].ok):
            seen.append(await _chat(driver, key, run_id))
        return seen

    return [reply for seen in await asyncio.gather(*(loop() for _ in range(LOOPS))) for reply in seen]


async def _budget(driver: Driver, key: str, run_id: str) -> dict[str, Any]:
    (row,) = (await driver.ask(key, "GET", f"/v1/runs/{run_id}"))["budgets"]
    return dict(row)


def _assert_stopped(reply: Reply, run_id: str, currency: str = "USD") -> None:
    """402 that names the run, what was needed and what was left, for people and for programs."""
    error = reply.body["error"]
    # Where other requests of the run were all that was in the way, it is worth coming back.
    again = ("3", "true") if "try again when they have ended" in error["message"] else (None, "false")
    assert (reply.status, error["code"]) == (402, "budget_exceeded"), reply
    assert (reply.headers.get("retry-after"), reply.headers["x-should-retry"]) == again
    assert Decimal(error["held"]) >= 0
    assert error["envelope"] == {"kind": "run", "id": run_id, "window": "run"}
    assert Decimal(error["needed"]) > Decimal(error["left"]) >= 0
    assert error["currency"] == currency
    for said in (run_id, error["needed"], error["left"]):
        assert said in error["message"]


@pytest.mark.parametrize("reserve", [True, False], ids=["earmarked", "limit-only"])
async def test_a_runaway_job_stops_at_its_envelope_and_goes_on_when_extended(
    driver: Driver, described: dict[str, Any], reserve: bool
) -> None:
    customer = await _customer(driver)
    key = customer.keys["job"]
    run_id = await _open(driver, key, "0.05", reserve=reserve)
    before = (await driver.balances(key))["credit"]
    assert amount(before["posted_nano"]) == (DEPOSIT - Decimal("0.05") if reserve else DEPOSIT)

    replies = await _run_away(driver, key, run_id)
    refused = [reply for reply in replies if not reply.ok]
    assert len(refused) == LOOPS, "a loop was never stopped"
    for reply in refused:
        _assert_stopped(reply, run_id)
    await books.settled(driver)
    charged = sum((Decimal(reply.usage["cost"]) for reply in replies if reply.ok), Decimal(0))
    budget = await _budget(driver, key, run_id)
    assert amount(budget["spent_nano"]) == charged <= Decimal("0.05")
    assert amount(budget["left_nano"]) == Decimal("0.05") - charged
    assert budget["overrun_nano"] == budget["held_nano"] == 0

    assert (await driver.chat(customer.keys["other"], CALL)).ok, "the rest of the account is not touched"
    extended = await driver.ask(key, "POST", f"/v1/runs/{run_id}/extend", {"budget": {"credit": "0.01"}})
    assert extended["budgets"][0]["budget"] == "0.06"
    again = await _chat(driver, key, run_id)
    assert again.ok, again
    await _close(driver, key, run_id)
    await books.settled(driver)
    each = Decimal(again.usage["cost"])
    assert amount((await driver.balances(key))["credit"]["posted_nano"]) == DEPOSIT - charged - 2 * each
    books.ledger_check(described)


async def test_a_run_that_cannot_be_paid_is_not_opened(driver: Driver) -> None:
    customer = await _customer(driver)
    reply = await driver.send(customer.keys["job"], "POST", "/v1/runs", {"budget": {"credit": "5.01"}})
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (402, "insufficient_balance", "budget")
    assert "5.01 USD needed" in error["message"]
    assert (error["needed"], error["left"], error["currency"]) == ("5.01", "5.00", "USD")
    assert error["envelope"] == {"kind": "bucket", "id": "credit", "window": None}
    limit = {"kind": "project", "id": customer.project_id, "currency": "USD", "window": "total", "limit": "0.50"}
    await driver.admin("settlement", "/admin/limits", limit | {"account_id": customer.account_id})
    reply = await driver.send(customer.keys["job"], "POST", "/v1/runs", {"budget": {"credit": "1.00"}})
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["left"]) == (402, "budget_exceeded", "0.50")
    assert error["envelope"] == {"kind": "project", "id": customer.project_id, "window": "total"}
    reply = await driver.send(customer.keys["job"], "POST", "/v1/runs", {"budget": {"gold": "1"}})
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "unknown_bucket")
    assert (await driver.ask(customer.keys["job"], "GET", "/v1/runs"))["data"] == []


async def test_the_same_opening_again_is_the_same_run(driver: Driver) -> None:
    key = (await _customer(driver)).keys["job"]
    body = {"budget": {"credit": "1.00"}, "deadline": "10m"}
    replies = [await driver.send(key, "POST", "/v1/runs", body, **{"idempotency-key": "job"}) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [201, 200]
    assert replies[0].json()["id"] == replies[1].json()["id"]
    other = await driver.send(key, "POST", "/v1/runs", {"budget": {"credit": "2.00"}}, **{"idempotency-key": "job"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_conflict")
    assert amount((await driver.balances(key))["credit"]["posted_nano"]) == DEPOSIT - 1


async def test_past_its_deadline_a_run_waits_for_its_last_call_and_gives_the_rest_back(driver: Driver) -> None:
    customer = await _customer(driver)
    key = customer.keys["job"]
    run_id = await _open(driver, key, "1.00", deadline="4s")
    slow = chat_body("gpt-4o", Size(20, 60), stream=True)
    slow["metadata"] |= {"sim_chunk_ms": "200"}
    under_way = asyncio.create_task(driver.chat(key, slow, **{"x-tollbook-run": run_id}))
    assert await _states_until_closed(driver, key, run_id) == ["open", "closing", "closed"]
    last = await under_way
    assert last.ok, "a call that had begun was cut by the deadline"
    late = await _chat(driver, key, run_id)
    assert (late.status, late.body["error"]["code"]) == (409, "run_closed")
    run = await driver.ask(key, "GET", f"/v1/runs/{run_id}")
    spent = Decimal(last.usage["cost"])
    assert run["close_reason"] == "deadline"
    assert amount(run["budgets"][0]["returned_nano"]) == 1 - spent
    assert amount((await driver.balances(key))["credit"]["posted_nano"]) == DEPOSIT - spent


async def _states_until_closed(driver: Driver, key: str, run_id: str) -> list[str]:
    """The states that a run goes through, in their order."""
    seen: list[str] = []
    deadline = time.monotonic() + 60
    while "closed" not in seen:
        assert time.monotonic() < deadline, seen
        state = (await driver.ask(key, "GET", f"/v1/runs/{run_id}"))["state"]
        seen += [state] if state not in seen else []
        await asyncio.sleep(0.1)
    return seen


async def _close(driver: Driver, key: str, run_id: str) -> None:
    """Close a run and wait for its last hold."""
    await driver.ask(key, "POST", f"/v1/runs/{run_id}/close", {})
    await _states_until_closed(driver, key, run_id)


async def test_the_official_client_joins_by_header_and_by_metadata(driver: Driver, described: dict[str, Any]) -> None:
    key = (await _customer(driver)).keys["job"]
    run_id = await _open(driver, key, "1.00", label="joined")
    messages: Any = [{"role": "user", "content": "hello"}]

    def both_ways() -> None:
        with OpenAI(base_url=f"{described['edge_url']}/v1", api_key=key, max_retries=0) as client:
            ask = client.chat.completions.create
            ask(model="gpt-4o", messages=messages, max_tokens=20, extra_headers={"x-tollbook-run": run_id})
            ask(model="gpt-4o", messages=messages, max_tokens=20, metadata={"run_id": run_id})

    await asyncio.to_thread(both_ways)
    await books.settled(driver)
    run = await driver.ask(key, "GET", f"/v1/runs/{run_id}")
    assert (run["totals"]["requests"], run["totals"]["answered"]) == (2, 2)
    assert Decimal(run["budgets"][0]["spent"]) > 0


async def test_a_run_narrows_its_key_and_is_named_where_it_refuses(driver: Driver) -> None:
    customer = await _customer(driver)
    run_id = await _open(driver, customer.keys["job"], "1.00", models=["gpt-4o-mini", "deepseek-chat"])
    refused = await _chat(driver, customer.keys["job"], run_id)
    assert (refused.status, refused.body["error"]["code"]) == (403, "model_not_allowed")
    assert refused.body["error"]["message"].startswith(f"The run {run_id}")
    body = chat_body("deepseek-chat", Size(10, 10))
    refused = await driver.chat(customer.keys["job"], body, **{"x-tollbook-run": run_id})
    assert (refused.status, refused.body["error"]["code"]) == (403, "route_not_allowed")
    assert refused.body["error"]["envelope"]["kind"] == "key"
    refused = await _chat(driver, customer.keys["other"], run_id)
    assert (refused.status, refused.body["error"]["code"]) == (403, "run_not_allowed")


async def test_a_closed_run_refuses_and_the_refusal_is_on_the_record(driver: Driver) -> None:
    key = (await _customer(driver)).keys["job"]
    run_id = await _open(driver, key, "1.00")
    await driver.ask(key, "POST", f"/v1/runs/{run_id}/close", {})
    late = await _chat(driver, key, run_id)
    assert (late.status, late.body["error"]["code"], late.headers["x-should-retry"]) == (409, "run_closed", "false")
    await books.settled(driver)
    receipt = await driver.receipt(key, late.request_id)
    assert (receipt["status"], receipt["run_id"], receipt["refusal"]["code"]) == ("refused", run_id, "run_closed")


async def test_an_estimate_bounds_what_the_job_then_costs(driver: Driver) -> None:
    customer = await driver.customer(job={"cross_bucket": True})
    key = customer.keys["job"]
    await driver.top_up(customer.account_id, "credit", "5")
    calls, size = 10, Size(400, 100)
    item = {"model": "gpt-4o-mini", "requests": calls, "input_tokens": 400, "output_tokens": {"low": 50, "high": 200}}
    said = await driver.ask(key, "POST", "/v1/estimate", {"items": [item]})
    routes = {route["route_type"]: route for route in said["routes"]}
    assert (routes["direct"]["payable"], routes["pooled"]["payable"]) == ("yes", "no")
    assert (routes["pooled"]["stops"]["kind"], routes["pooled"]["currency"]) == ("bucket", "CNY")
    bodies = [chat_body("gpt-4o-mini", size) for _ in range(calls)]
    replies = await asyncio.gather(*(driver.chat(key, body) for body in bodies))
    cost = sum((Decimal(reply.usage["cost"]) for reply in replies), Decimal(0))
    assert Decimal(routes["direct"]["low"]) < cost < Decimal(routes["direct"]["high"])


async def test_an_account_and_its_project_bound_what_their_keys_may_do(driver: Driver) -> None:
    customer = await _customer(driver)
    key = customer.keys["job"]
    path = f"/admin/projects/{customer.project_id}/policy"
    await driver.admin("edge", path, {"policy": {"models": ["gpt-4o-mini"]}})
    refused = await driver.chat(key, CALL)
    assert (refused.status, refused.body["error"]["message"]) == (403, "This project may not use the model 'gpt-4o'.")
    await driver.admin("edge", path, {"policy": None})
    await driver.admin("edge", f"/admin/accounts/{customer.account_id}/policy", {"policy": {"route_types": ["pooled"]}})
    deadline = time.monotonic() + 60
    while (refused := await driver.chat(key, CALL)).status != 403:
        assert time.monotonic() < deadline, refused
    assert refused.body["error"]["code"] == "route_not_allowed"
    assert refused.body["error"]["envelope"]["kind"] == "key"
