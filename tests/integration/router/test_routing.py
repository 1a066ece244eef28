"""Strategies, stickiness and limits in the running router, and a table that changes under its streams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import orjson
import pytest

from tests.integration.router.rig import PRICE_BOOK, Asker, Lane, Rig, story

BOOK = PRICE_BOOK + '  - {route_type: direct, model: gpt-4.1-mini, currency: USD, input: "0.4", output: "1.6"}\n'
PATIENT = {
    "TOLLBOOK_UPSTREAM_FIRST_BYTE_TIMEOUT_SECONDS": "30",
    "TOLLBOOK_UPSTREAM_READ_TIMEOUT_SECONDS": "30",
    "TOLLBOOK_REQUEST_DEADLINE_SECONDS": "60",
    "TOLLBOOK_CIRCUIT_OPEN_SECONDS": "1",
}
SLOW = {"ttft_ms": 150.0, "latency_ms": 150.0}


def channel(rig: Rig, id_: str, **more: Any) -> dict[str, Any]:
    row = {"id": id_, "route_type": "direct", "brand": "sim", "dialect": "openai", "keys": [{"secret": "sk-1"}]}
    return {**row, "base_url": f"{rig.urls['provider']}/{id_}/v1", **more}


def table(rig: Rig) -> dict[str, Any]:
    """The rig's table, and a model for each of what is tested here."""
    base = rig.table()
    base["channels"] += [
        *(channel(rig, f"{name}-{end}") for name in ("cheap", "fast", "sticky", "gone") for end in ("a", "b")),
        channel(rig, "one-a", limits={"concurrency": 1}),
        channel(rig, "one-b"),
        channel(rig, "probe-a", on_disconnect="cancel"),
        channel(rig, "probe-b"),
        channel(rig, "full-a", limits={"requests_per_minute": 1}),
        channel(rig, "full-b", limits={"requests_per_minute": 1}),
    ]
    own: dict[str, dict[str, Any]] = {
        "cheap": {"strategy": "cheapest"},
        "fast": {"strategy": "fastest", "explore_percent": 0},
        "sticky": {"strategy": "weighted", "sticky": {"seconds": 60, "by": ["user"]}},
        "one": {},
        "full": {},
        "gone": {},
        "probe": {},
    }
    for name, more in own.items():
        upstreams = ("gpt-4o", "gpt-4.1-mini" if name == "cheap" else "gpt-4o")
        candidates = [
            {"channel": f"{name}-{end}", "upstream_model": upstream} for end, upstream in zip("ab", upstreams, strict=True)
        ]
        limits = {"max_input_tokens": 128_000, "max_output_tokens": 16_384}
        base["models"].append({"id": name, "owned_by": "sim", **limits, **more, "candidates": candidates})
    return base


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, module_database_url: str, kafka_bootstrap_servers: str) -> Iterator[Rig]:
    """A neighbourhood whose router is patient: nothing here is about timeouts, however busy the machine is."""
    running = Rig(tmp_path_factory.mktemp("router"), module_database_url, kafka_bootstrap_servers, PATIENT)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def routed(rig: Rig) -> Rig:
    """The neighbourhood with the table and prices of this module, which the router has read."""
    rig.post("router", "/admin/routes", content=orjson.dumps(table(rig)))
    version = rig.post("settlement", "/admin/price-books", content=BOOK)["version"]
    give_up_at = time.monotonic() + 90
    while f"tollbook_router_price_version {float(version)}" not in metrics(rig):
        assert time.monotonic() < give_up_at
        time.sleep(0.05)
    return rig


def metrics(rig: Rig) -> str:
    return rig.http.get(rig.urls["router"] + "/metrics").text


def lane(rig: Rig, model: str) -> Lane:
    return Lane(model, rig.lane().account_id)


async def test_the_cheapest_by_settlements_price_book_answers(routed: Rig, asker: Asker) -> None:
    _, reply = await asker.ask(lane(routed, "cheap"))
    assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, "cheap-b")
    assert reply.headers["x-tollbook-upstream-model"] == "gpt-4.1-mini"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_fastest_of_late_answers(routed: Rig, asker: Asker, stream: bool) -> None:
    mine = lane(routed, "fast")
    routed.pace("fast-a", **SLOW)
    seen = [(await asker.ask(mine, stream=stream))[1].headers["x-tollbook-channel"] for _ in range(6)]
    assert set(seen[:2]) == {"fast-a", "fast-b"}
    assert set(seen[2:]) == {"fast-b"}


async def test_a_user_stays_where_it_was_answered_and_moves_when_that_channel_fails(routed: Rig, asker: Asker) -> None:
    mine = lane(routed, "sticky")
    homes: dict[str, str] = {}
    for number in range(12):
        user = f"user-{number % 6}"
        _, reply = await asker.ask(mine, user=user)
        assert homes.setdefault(user, reply.headers["x-tollbook-channel"]) == reply.headers["x-tollbook-channel"]
    home = homes["user-0"]
    other = {"sticky-a": "sticky-b", "sticky-b": "sticky-a"}[home]
    routed.script(home, {"kind": "401", "times": 1})
    for _ in range(2):
        _, reply = await asker.ask(mine, user="user-0")
        assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, other)


async def test_a_stream_holds_the_only_place_of_its_channel_until_it_ends(routed: Rig, asker: Asker) -> None:
    mine = lane(routed, "one")
    routed.pace("one-a", chunk_ms=50)
    async with AsyncExitStack() as stack:
        reply = await stack.enter_async_context(asker.begin(mine, uuid4(), stream=True))
        assert reply.headers["x-tollbook-channel"] == "one-a"
        second_id, second = await asker.ask(mine)
        assert (second.status, second.headers["x-tollbook-channel"]) == (200, "one-b")
        assert 'tollbook_router_channel_in_flight{channel="one-a"} 1.0' in metrics(routed)
        assert 'tollbook_router_channel_limit_used{channel="one-a",limit="concurrency"} 1.0' in metrics(routed)
        await reply.aread()
    told = await story(routed.kafka, second_id)
    told.assert_consistent()
    assert [(each.from_channel, each.to_channel, each.reason) for each in told.completed.fallbacks] == [
        ("one-a", "one-b", "concurrency_limit")
    ]
    _, third = await asker.ask(mine)
    assert third.headers["x-tollbook-channel"] == "one-a"


async def test_where_every_candidate_is_at_its_limit_the_client_is_told_when_to_come_again(routed: Rig, asker: Asker) -> None:
    mine = lane(routed, "full")
    for expected in ("full-a", "full-b"):
        _, reply = await asker.ask(mine)
        assert reply.headers["x-tollbook-channel"] == expected
    _, refused = await asker.ask(mine)
    assert (refused.status, refused.json["error"]["code"]) == (429, "rate_limited")
    assert refused.headers["x-tollbook-rejected"] == "rate_limited"
    assert 50 <= int(refused.headers["retry-after"]) <= 61
    assert "at its limit (requests per minute)" in refused.json["error"]["message"]
    [shown] = [row for row in routed.get("router", "/admin/channels")["data"] if row["id"] == "full-a"]
    assert shown["limits"]["requests_per_minute"] == {"limit": 1, "used": 1}


def state(rig: Rig, channel_id: str) -> dict[str, Any]:
    [shown] = [row for row in rig.get("router", "/admin/channels")["data"] if row["id"] == channel_id]
    found: dict[str, Any] = shown
    return found


async def until(rig: Rig, channel_id: str, **expected: Any) -> None:
    """Wait until the channel's state is so."""
    give_up_at = time.monotonic() + 90
    while (shown := await asyncio.to_thread(state, rig, channel_id)) != {**shown, **expected}:
        assert time.monotonic() < give_up_at, shown
        await asyncio.sleep(0.02)


async def test_one_request_probes_a_circuit_and_one_that_leaves_frees_the_probes_place(routed: Rig, asker: Asker) -> None:
    mine = lane(routed, "probe")
    routed.script("probe-a", {"kind": "503", "times": 5})
    while state(routed, "probe-a")["circuit"] != "open":
        await asker.ask(mine)
    routed.pace("probe-a", latency_ms=4000)
    await until(routed, "probe-a", circuit="open", retries_in_s=0)
    leaving = asyncio.create_task(asker.ask(mine))
    await until(routed, "probe-a", circuit="half_open", in_flight=1)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await until(routed, "probe-a", circuit="half_open", in_flight=0)
    replies = await asyncio.gather(*(asker.ask(mine) for _ in range(12)))
    assert all(reply.status == 200 for _, reply in replies)
    assert sorted(reply.headers["x-tollbook-channel"] for _, reply in replies) == ["probe-a", *["probe-b"] * 11]
    assert state(routed, "probe-a")["circuit"] == "closed"


async def test_a_table_without_the_channel_of_a_running_stream_lets_it_end(routed: Rig, asker: Asker) -> None:
    mine = lane(routed, "gone")
    routed.pace("gone-a", chunk_ms=60)
    request_id = uuid4()
    without = table(routed)
    without["channels"] = [row for row in without["channels"] if not row["id"].startswith("gone")]
    without["models"] = [row for row in without["models"] if row["id"] != "gone"]
    async with asker.begin(mine, request_id, stream=True) as reply:
        parts = reply.aiter_bytes()
        first = await anext(parts)
        await asyncio.to_thread(routed.post, "router", "/admin/routes", content=orjson.dumps(without))
        _, after = await asker.ask(mine)
        assert (after.status, after.json["error"]["code"]) == (404, "model_not_found")
        whole = first + b"".join([part async for part in parts])
    assert whole.rstrip().endswith(b"data: [DONE]")
    assert 'channel="gone-a"' not in metrics(routed)
    told = await story(routed.kafka, request_id)
    assert (told.completed.outcome, told.completed.charged_attempt) == ("succeeded", 1)
