"""What is refused before any upstream call: a proper error, told to edge, and never a 500."""

from __future__ import annotations

from datetime import datetime, time
from decimal import Decimal
from typing import Any

import orjson
import pytest

from schemas.calls import CONTEXT_HEADER, HoldBatch
from tests.announced import announce, records
from tests.integration.router.rig import EDGE, ROUTER, Asker, Rig
from tests.integration.settlement.requests_made import hold_for


def assert_refused(rig: Rig, reply: Any, channel: str, status: int, code: str, *, param: str | None = None) -> None:
    error = orjson.loads(reply.body)["error"]
    assert (reply.status, error["code"], error["param"]) == (status, code, param)
    assert {"message", "type", "param", "code"} <= set(error)
    assert reply.headers["x-tollbook-rejected"] == code
    assert rig.stats(channel)["requests"] == 0


@pytest.mark.parametrize(
    ("content", "code"), [(b"{", "invalid_json"), (b"", "invalid_json"), (b"[]", "invalid_json"), (b"\xff\xfe", "invalid_json")]
)
async def test_a_body_that_is_no_json_object(rig: Rig, asker: Asker, content: bytes, code: str) -> None:
    lane = rig.lane()
    _, reply = await asker.ask(lane, content=content or b" ")
    assert_refused(rig, reply, lane.main, 400, code)


@pytest.mark.parametrize(
    ("body", "param"),
    [({"messages": []}, "messages"), ({"max_tokens": "many"}, "max_tokens"), ({"n": 0}, "n"), ({"stream": "yes"}, "stream")],
)
async def test_a_parameter_at_fault_is_named(rig: Rig, asker: Asker, body: dict[str, Any], param: str) -> None:
    lane = rig.lane()
    _, reply = await asker.ask(lane, **body)
    assert_refused(rig, reply, lane.main, 400, "invalid_value", param=param)


async def test_an_unknown_model(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    _, reply = await asker.ask(lane, model="gpt-unknown")
    assert_refused(rig, reply, lane.main, 404, "model_not_found", param="model")


@pytest.mark.parametrize(
    ("policy", "code"),
    [({"models": ["gpt-4o"]}, "model_not_allowed"), ({"route_types": ["subscription"]}, "route_not_allowed")],
)
async def test_a_policy_that_forbids(rig: Rig, asker: Asker, policy: dict[str, Any], code: str) -> None:
    lane = rig.lane()
    _, reply = await asker.ask(lane, policy=policy)
    assert_refused(rig, reply, lane.main, 403, code, param="model")


async def test_a_limit_that_a_clock_lifts_tells_when(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    limit = {
        "account_id": lane.account_id,
        "kind": "account",
        "id": lane.account_id,
        "currency": "USD",
        "window": "day",
        "limit": "0.000001",
    }
    await announce(rig.kafka, *records(lane.account_id))
    rig.post("settlement", "/admin/limits", json=limit)
    _, reply = await asker.ask(lane)
    assert_refused(rig, reply, lane.main, 429, "budget_exceeded")
    assert 0 < int(reply.headers["retry-after"]) <= 86_401
    error = orjson.loads(reply.body)["error"]
    assert error["envelope"] == {"kind": "account", "id": lane.account_id, "window": "day"}
    assert Decimal(error["needed"]) > Decimal(error["left"]) == Decimal("0.000001")
    assert (error["currency"], datetime.fromisoformat(error["resets_at"]).time()) == ("USD", time())


async def test_what_a_running_request_holds_is_told_and_worth_coming_back_for(rig: Rig, asker: Asker) -> None:
    lane = rig.lane(credit="0.01")
    running = hold_for(lane.account_id, input_tokens_bound=0, max_output_tokens=950)
    batch = HoldBatch(holds=[running]).to_json()
    held = await asker.http.post(
        f"{rig.urls['settlement']}/internal/holds", content=batch, headers={"authorization": f"Bearer {ROUTER}"}
    )
    assert held.json()["results"][0]["status"] == "held"
    _, reply = await asker.ask(lane, max_tokens=100)
    assert_refused(rig, reply, lane.main, 402, "insufficient_balance")
    assert (reply.headers["retry-after"], reply.headers["x-should-retry"]) == ("3", "true")
    error = orjson.loads(reply.body)["error"]
    assert (error["left"], error["held"]) == ("0.0005", "0.0095")
    assert "0.0095 USD is held by requests that are still running; try again when they have ended" in error["message"]
    _, spent = await asker.ask(lane, max_tokens=2000)
    assert (spent.status, spent.headers.get("retry-after"), spent.headers["x-should-retry"]) == (402, None, "false")


async def test_a_missing_or_broken_context(asker: Asker) -> None:
    for context in ({}, {CONTEXT_HEADER: "{}"}, {CONTEXT_HEADER: "not json"}):
        reply = await asker.http.post(
            "/internal/v1/chat/completions", content=b"{}", headers={"authorization": f"Bearer {EDGE}", **context}
        )
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_context")


async def test_a_body_larger_than_the_bound(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    _, reply = await asker.ask(lane, content=b" " * (32 * 1024 * 1024 + 1))
    assert_refused(rig, reply, lane.main, 413, "body_too_large")


async def test_unknown_paths_and_methods_answer_in_the_same_shape(asker: Asker) -> None:
    for method, path, status in (
        ("GET", "/nowhere", 404),
        ("GET", "/internal/v1/chat/completions", 404),
        ("DELETE", "/admin/routes", 405),
    ):
        reply = await asker.http.request(method, path)
        assert (reply.status_code, set(reply.json()["error"])) == (status, {"message", "type", "param", "code"})
