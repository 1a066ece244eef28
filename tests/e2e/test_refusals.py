"""Bad input and empty balances: a proper error each, visible as RequestRejected where the key is known, never a 500."""

import asyncio
import time
from typing import Any

import httpx
import pytest

from deploy.local.traffic import Size
from schemas import topics
from tests.e2e import books
from tests.e2e.driver import Driver, chat_body

pytestmark = pytest.mark.stack

SMALL = Size(20, 5)
BAD_BODIES: dict[str, tuple[bytes, set[int]]] = {
    "not json": (b"{'model': nope", {400}),
    "empty": (b"", {400}),
    "an array": (b"[]", {400}),
    "invalid utf-8": (b'{"model":"gpt-4o","messages":[{"role":"user","content":"\xff\xfe"}]}', {400}),
    "no model": (b'{"messages":[{"role":"user","content":"x"}]}', {400}),
    "model not a string": (b'{"model":7,"messages":[{"role":"user","content":"x"}]}', {400}),
    "unknown model": (b'{"model":"nope","messages":[{"role":"user","content":"x"}]}', {404}),
    "no messages": (b'{"model":"gpt-4o"}', {400}),
    "messages a string": (b'{"model":"gpt-4o","messages":"x"}', {400}),
    "messages of numbers": (b'{"model":"gpt-4o","messages":[1]}', {400}),
    "max_tokens a string": (b'{"model":"gpt-4o","messages":[{"role":"user","content":"x"}],"max_tokens":"9"}', {400}),
    "max_tokens negative": (b'{"model":"gpt-4o","messages":[{"role":"user","content":"x"}],"max_tokens":-1}', {400}),
    "max_tokens beyond int64": (
        b'{"model":"gpt-4o","messages":[{"role":"user","content":"x"}],"max_tokens":99999999999999999999}',
        {400},
    ),
    "stream a string": (b'{"model":"gpt-4o","messages":[{"role":"user","content":"x"}],"stream":"yes"}', {400}),
    "n of zero": (b'{"model":"gpt-4o","messages":[{"role":"user","content":"x"}],"n":0}', {400}),
}


async def _post(driver: Driver, key: str, body: bytes) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    return await driver.http.post(f"{driver.stack['edge_url']}/v1/chat/completions", content=body, headers=headers)


async def _rejections(driver: Driver, request_ids: set[str]) -> dict[str, dict[str, Any]]:
    """RequestRejected events of these requests, once all have arrived in Kafka."""
    deadline = time.monotonic() + 90
    while True:
        kafka = await books.read_topics(driver.stack["kafka_bootstrap_servers"])
        events = kafka[topics.REQUESTS].events.values()
        found = {e["request_id"]: e for e in events if e["type"] == "RequestRejected" and e["request_id"] in request_ids}
        if set(found) == request_ids:
            return found
        assert time.monotonic() < deadline, request_ids - set(found)
        await asyncio.sleep(0.3)


async def test_bad_bodies_get_a_clear_error_and_are_recorded(driver: Driver) -> None:
    customer = await driver.customer(any={})
    await driver.top_up(customer.account_id, "credit", "5")
    replies = {name: await _post(driver, customer.keys["any"], body) for name, (body, _) in BAD_BODIES.items()}
    for name, reply in replies.items():
        assert reply.status_code in BAD_BODIES[name][1], f"{name}: {reply.status_code} {reply.text}"
        error = reply.json()["error"]
        assert error["message"], name
        assert {"message", "type", "param", "code"} <= set(error), name
    rejected = await _rejections(driver, {reply.headers["x-request-id"] for reply in replies.values()})
    assert {event["account_id"] for event in rejected.values()} == {customer.account_id}
    receipt = await _receipt(driver, customer.keys["any"], replies["unknown model"].headers["x-request-id"])
    assert (receipt["status"], receipt["refusal"]["code"]) == ("refused", "model_not_found")
    assert receipt["explanation"]


async def _receipt(driver: Driver, key: str, request_id: str) -> dict[str, Any]:
    """The receipt, once analytics has loaded what it is made of."""
    url = f"{driver.stack['edge_url']}/v1/requests/{request_id}"
    deadline = time.monotonic() + 90
    while (reply := await driver.http.get(url, headers={"authorization": f"Bearer {key}"})).status_code == 404:
        assert time.monotonic() < deadline, reply.text
        await asyncio.sleep(0.3)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


async def test_a_body_that_is_too_large_is_refused_and_recorded(driver: Driver) -> None:
    customer = await driver.customer(any={})
    reply = await _post(driver, customer.keys["any"], b'{"model":"' + b"x" * (11 * 1024 * 1024) + b'"}')
    assert reply.status_code == 413
    assert reply.json()["error"]["message"]
    await _rejections(driver, {reply.headers["x-request-id"]})


async def test_unknown_keys_are_refused_without_a_record(driver: Driver) -> None:
    for key in ("-", "nonsense", "sk-tb-aaaaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "sk-tb-é"):
        headers = {b"authorization": f"Bearer {key}".encode()}
        reply = await driver.http.post(f"{driver.stack['edge_url']}/v1/chat/completions", json={}, headers=headers)
        assert reply.status_code == 401, reply.text
        assert reply.json()["error"]["code"] == "invalid_api_key"


async def test_an_empty_balance_is_a_402_that_says_what_is_needed(driver: Driver) -> None:
    customer = await driver.customer(any={"route_types": ["direct"]})
    reply = await driver.chat(customer.keys["any"], chat_body("gpt-4o", SMALL))
    assert reply.status == 402, reply
    assert reply.body["error"]["code"] == "insufficient_balance"
    assert "credit" in reply.body["error"]["message"]
    await _rejections(driver, {reply.request_id})
    receipt = await driver.receipt(customer.keys["any"], reply.request_id)
    assert (receipt["status"], receipt["requested_model"], receipt["client_api"]) == ("refused", "gpt-4o", "chat.completions")
    assert "asked for gpt-4o at" in receipt["explanation"][0]
    assert receipt["refusal"]["needed_nano"] > receipt["refusal"]["left_nano"]


async def test_a_key_stops_at_its_own_limit_and_says_so(driver: Driver) -> None:
    customer = await driver.customer(small={"route_types": ["direct"]}, other={"route_types": ["direct"]})
    await driver.top_up(customer.account_id, "credit", "50")
    limit = {
        "account_id": customer.account_id,
        "kind": "key",
        "id": customer.key_ids["small"],
        "currency": "USD",
        "window": "total",
        "limit": "0.01",
    }
    await driver.admin("settlement", "/admin/limits", limit)
    replies = await asyncio.gather(
        *(driver.chat(customer.keys["small"], chat_body("gpt-4o", Size(100, 100))) for _ in range(60))
    )
    refused = [reply for reply in replies if reply.status == 402]
    assert refused
    assert refused[0].body["error"]["code"] == "budget_exceeded"
    assert customer.key_ids["small"] in refused[0].body["error"]["message"]
    await books.settled(driver)
    spent = 50_000_000_000 - (await driver.balances(customer.keys["small"]))["credit"]["posted_nano"]
    assert 0 < spent <= 10_000_000
    assert (await driver.chat(customer.keys["other"], chat_body("gpt-4o", SMALL))).ok


async def test_a_frozen_key_is_refused_and_works_again_when_unfrozen(driver: Driver) -> None:
    customer = await driver.customer(any={})
    await driver.top_up(customer.account_id, "credit", "5")
    assert (await driver.chat(customer.keys["any"], chat_body("gpt-4o", SMALL))).ok
    await driver.admin("edge", f"/admin/keys/{customer.key_ids['any']}/freeze", {})
    await _until_status(driver, customer.keys["any"], 403)
    await driver.admin("edge", f"/admin/keys/{customer.key_ids['any']}/unfreeze", {})
    await _until_status(driver, customer.keys["any"], 200)


async def _until_status(driver: Driver, key: str, status: int) -> None:
    deadline = time.monotonic() + 60
    while (seen := await driver.chat(key, chat_body("gpt-4o", SMALL))).status != status:
        assert time.monotonic() < deadline, seen
        await asyncio.sleep(0.1)


async def test_another_accounts_receipt_is_not_found(driver: Driver) -> None:
    owner, stranger = await driver.customer(any={}), await driver.customer(any={})
    await driver.top_up(owner.account_id, "credit", "5")
    reply = await driver.chat(owner.keys["any"], chat_body("gpt-4o", SMALL))
    await books.settled(driver)
    url = f"{driver.stack['edge_url']}/v1/requests/{reply.request_id}"
    seen = await driver.http.get(url, headers={"authorization": f"Bearer {stranger.keys['any']}"})
    assert seen.status_code == 404
