"""An upstream that sends what it likes: one record for each request, and the next candidate wherever one can still be asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from schemas.money import Usage
from tests.integration.router.hostile import Hostile
from tests.integration.router.rig import Asker, Lane, Rig, Story, expected_charge, story

SCRIPTED = {"sim_input_tokens": "90", "sim_output_tokens": "12"}
USAGE = Usage(input_tokens=90, output_tokens=12)
BURNED = Usage(input_tokens=5, output_tokens=6)
PROMPT_ESTIMATE = 600 // 4 + 3
INCLUDE = {"include_usage": True}


@pytest.fixture(scope="module")
def hostile(rig: Rig) -> Iterator[None]:
    """A model `evil-<mode>` for each mode, backed by an honest channel; `lone-<mode>` has no backup."""
    server = Hostile()
    table = rig.table()
    honest = table["models"][-1]["candidates"][1]
    for channel in server.channels():
        table["channels"].append(channel)
        mode = channel["id"].removeprefix("hostile-")
        evil = {"channel": channel["id"], "upstream_model": "gpt-4o"}
        for name, candidates in ((f"evil-{mode}", [evil, honest]), (f"lone-{mode}", [evil])):
            table["models"].append({**table["models"][0], "id": name, "candidates": candidates})
    rig.post("router", "/admin/routes", content=orjson.dumps(table))
    try:
        yield
    finally:
        server.stop()


async def ask(rig: Rig, asker: Asker, model: str, **body: Any) -> tuple[Lane, Any, Story]:
    """A request for the model by an account of its own, and its one record: a second one may not follow."""
    lane = replace(rig.lane(), model=model)
    request_id, reply = await asker.ask(lane, metadata=SCRIPTED, **body)
    told = await story(rig.kafka, request_id)
    told.assert_consistent()
    return lane, reply, told


async def assert_settled(rig: Rig, lane: Lane, cost_nano: int) -> None:
    """The account is charged this once, and nothing stays held."""
    give_up_at = time.monotonic() + 90
    while True:
        credit = rig.balances(lane)["credit"]
        if (credit["posted_nano"], credit["held_nano"]) == (100 * 10**9 - cost_nano, 0):
            return
        assert time.monotonic() < give_up_at, credit
        await asyncio.sleep(0.05)


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize(
    ("mode", "stream", "error_class", "burned"),
    [
        ("deep-message", False, "malformed_reply", BURNED),
        ("deep-usage", False, "malformed_reply", BURNED),
        ("late-429", False, "rate_limited", Usage()),
        ("late-429", True, "rate_limited", Usage()),
        ("stream-index", True, "malformed_reply", Usage()),
        ("stream-deep-first", True, "malformed_reply", BURNED),
    ],
)
async def test_what_cannot_be_passed_on_is_answered_by_the_backup(
    rig: Rig, asker: Asker, mode: str, error_class: str, burned: Usage, *, stream: bool
) -> None:
    lane, reply, told = await ask(rig, asker, f"evil-{mode}", stream=stream)
    assert (reply.status, reply.headers["x-tollbook-fallbacks"]) == (200, "1")
    *failed, answered = told.completed.attempts
    assert {(each.error_class, each.usage) for each in failed} == {(error_class, burned)}
    assert (answered.usage, told.completed.cost_nano) == (USAGE, expected_charge("direct", USAGE))
    await assert_settled(rig, lane, expected_charge("direct", USAGE))


@pytest.mark.usefixtures("hostile")
async def test_a_reply_that_nobody_can_read_is_charged_to_nobody(rig: Rig, asker: Asker) -> None:
    lane, reply, told = await ask(rig, asker, "lone-deep-message")
    assert (reply.status, reply.json["error"]["code"]) == (502, "malformed_reply")
    assert (told.completed.charged_attempt, told.completed.attempts[0].usage) == (None, BURNED)
    await assert_settled(rig, lane, 0)


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("mode", ["stream-deep-usage", "stream-deep-stamp"])
async def test_a_stream_whose_end_cannot_be_repeated_is_settled_and_ends_with_its_cost(
    rig: Rig, asker: Asker, mode: str
) -> None:
    lane, reply, told = await ask(rig, asker, f"lone-{mode}", stream=True, stream_options=INCLUDE)
    *_, usage, done = reply.body.split(b"\n\n")[:-1]
    assert done == b"data: [DONE]"
    counts = orjson.loads(usage[6:])["usage"]
    assert (counts["prompt_tokens"], counts["completion_tokens"], counts["bucket"]) == (5, 6, "credit")
    assert (told.completed.outcome, told.completed.attempts[0].usage) == ("succeeded", BURNED)
    await assert_settled(rig, lane, expected_charge("direct", BURNED))


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize(
    ("mode", "usage", "source"),
    [
        ("stream-deep-chunk", BURNED, "reported"),
        ("stream-index-later", Usage(input_tokens=PROMPT_ESTIMATE, output_tokens=1), "estimated"),
    ],
)
async def test_a_stream_that_turns_malformed_is_settled_at_what_it_gave(
    rig: Rig, asker: Asker, mode: str, usage: Usage, source: str
) -> None:
    lane, reply, told = await ask(rig, asker, f"lone-{mode}", stream=True)
    assert reply.events[-1]["error"]["code"] == "malformed_reply"
    attempt = told.completed.attempts[0]
    assert (told.completed.outcome, attempt.usage, attempt.usage_source) == ("failed", usage, source)
    await assert_settled(rig, lane, expected_charge("direct", usage))


@pytest.mark.usefixtures("hostile")
async def test_a_giant_chunk_of_a_broken_stream_is_charged_for_its_words(rig: Rig, asker: Asker) -> None:
    _, reply, told = await ask(rig, asker, "lone-stream-giant", stream=True)
    assert reply.events[-1]["error"]["code"] == "stream_cut"
    assert told.completed.attempts[0].usage.output_tokens == 1999


@pytest.mark.usefixtures("hostile")
async def test_an_error_that_is_none_reaches_the_client_as_our_own(rig: Rig, asker: Asker) -> None:
    _, reply, _ = await ask(rig, asker, "lone-error-list")
    assert (reply.status, set(reply.json["error"])) == (400, {"message", "type", "param", "code"})


@pytest.mark.usefixtures("hostile")
async def test_an_absurd_usage_is_replaced_by_the_estimate(rig: Rig, asker: Asker) -> None:
    _, reply, told = await ask(rig, asker, "lone-absurd-usage")
    assert reply.json["usage"]["prompt_tokens"] == PROMPT_ESTIMATE
    assert told.completed.attempts[0].usage_source == "estimated"


async def test_a_nul_in_a_tag_is_the_callers_fault(rig: Rig, asker: Asker) -> None:
    _, reply = await asker.ask(replace(rig.lane(), tags={"feature": "a\0b"}))
    assert (reply.status, reply.json["error"]["code"], reply.headers["x-tollbook-rejected"]) == (
        400,
        "invalid_value",
        "invalid_value",
    )


async def test_a_table_with_a_broken_tag_is_refused_in_the_usual_shape(rig: Rig) -> None:
    reply = rig.http.post(rig.urls["router"] + "/admin/routes", content=b"a: !!timestamp x")
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "invalid_route_table")
