"""One model, served by each provider's wire format in turn: the same answer, the same charge, the same reading of every fault.

The provider simulator speaks Anthropic's and Gemini's formats from the providers' documentation, and knows nothing of
router's own translations: what the two understand differently shows here.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from schemas.money import Usage, charge_nano, format_amount
from tests.integration.router.rig import Asker, Rig
from tests.integration.router.speakers import (
    DIALECTS,
    FOREIGN,
    PLAIN,
    PRICES,
    SPEAKING,
    STREAMS,
    TOOLS,
    USAGE,
    message_of,
    options,
    said,
    tell,
)


@STREAMS
@pytest.mark.parametrize("tools", [False, True], ids=["text", "tools"])
async def test_each_dialect_gives_the_same_answer_for_the_same_charge(
    speakers: Rig, asker: Asker, *, stream: bool, tools: bool
) -> None:
    script = "[sim input_tokens=90 output_tokens=12 tool=1]" if tools else PLAIN
    body: dict[str, Any] = {
        "messages": said(script),
        **({"tools": TOOLS} if tools else {}),
        "temperature": 0.5,
        **options(stream),
    }
    told = []
    for dialect in DIALECTS:
        lane = speakers.lane(prefix=dialect)
        request_id, reply = await asker.ask(lane, **body)
        assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.main)
        message, finish, usage = message_of(reply, stream=stream)
        message["calls"] = [(call["name"], orjson.loads(call["arguments"])) for call in message["calls"]]
        data = (await tell(speakers, request_id)).completed
        assert (data.attempts[0].usage, data.attempts[0].usage_source) == (USAGE, "reported")
        assert usage["cost"] == format_amount(data.cost_nano or 0)
        told.append((message, finish, usage["prompt_tokens"], usage["completion_tokens"], data.cost_nano))
    assert all(each == told[0] for each in told)
    assert told[0][-1] == charge_nano(PRICES, USAGE)
    assert (told[0][1], bool(told[0][0]["calls"])) == (("tool_calls", True) if tools else ("stop", False))


@STREAMS
@SPEAKING
async def test_a_tool_loop_goes_on_over_each_dialect(speakers: Rig, asker: Asker, dialect: str, *, stream: bool) -> None:
    lane = speakers.lane(prefix=dialect)
    asked: dict[str, Any] = {"tools": TOOLS, "tool_choice": "required"}
    _, first = await asker.ask(lane, messages=said(""), **asked)
    message = first.json["choices"][0]["message"]
    [call] = message["tool_calls"]
    history = [*said(""), message, {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}]
    _, reply = await asker.ask(lane, messages=history, tools=TOOLS, **options(stream))
    assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.main), reply.body
    content, finish, _ = message_of(reply, stream=stream)
    assert (bool(content["content"]), finish) == (True, "stop")


@STREAMS
@SPEAKING
async def test_cached_tokens_and_reasoning_are_priced_alike(speakers: Rig, asker: Asker, dialect: str, *, stream: bool) -> None:
    lane = speakers.lane(prefix=dialect)
    script = "[sim input_tokens=90 cached_tokens=30 output_tokens=12 reasoning_tokens=5]"
    request_id, reply = await asker.ask(lane, messages=said(script), **options(stream))
    _, _, usage = message_of(reply, stream=stream)
    expected = Usage(input_tokens=60, cached_input_tokens=30, output_tokens=12, reasoning_tokens=5)
    data = (await tell(speakers, request_id)).completed
    assert data.attempts[0].usage == expected
    assert data.cost_nano == charge_nano(PRICES, expected)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 30
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 5


@STREAMS
async def test_what_anthropic_writes_into_its_cache_has_its_own_price(speakers: Rig, asker: Asker, *, stream: bool) -> None:
    lane = speakers.lane(prefix="anthropic")
    script = "[sim input_tokens=90 cached_tokens=30 cache_write_tokens=40 output_tokens=12]"
    request_id, _ = await asker.ask(lane, messages=said(script), **options(stream))
    expected = Usage(input_tokens=20, cached_input_tokens=30, cache_write_tokens=40, output_tokens=12)
    data = (await tell(speakers, request_id)).completed
    assert (data.attempts[0].usage, data.cost_nano) == (expected, charge_nano(PRICES, expected))


FAULTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "rate limited, wait too long": ({"kind": "429", "retry_after_s": 30}, ["rate_limited"]),
    "rate limited, wait short": ({"kind": "429", "retry_after_s": 0.1, "times": 2}, ["rate_limited"] * 2),
    "server error": ({"kind": "500", "times": 2}, ["upstream_error"] * 2),
    "unavailable": ({"kind": "503", "times": 2}, ["upstream_unavailable"] * 2),
    "overloaded": ({"kind": "529", "times": 2}, ["upstream_unavailable"] * 2),
    "key refused": ({"kind": "401"}, ["unauthorized"]),
    "connection refused": ({"kind": "refuse", "times": 2}, ["connection_failed"] * 2),
    "burned": ({"kind": "burned", "times": 2}, ["upstream_error"] * 2),
}


@STREAMS
@SPEAKING
@pytest.mark.parametrize("name", FAULTS)
async def test_each_fault_before_the_first_byte_is_read_alike_in_each_dialect(
    speakers: Rig, asker: Asker, dialect: str, name: str, *, stream: bool
) -> None:
    fault, classes = FAULTS[name]
    lane = speakers.lane(prefix=dialect)
    speakers.script(lane.main, fault)
    request_id, reply = await asker.ask(lane, messages=said(PLAIN), stream=stream)
    assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.backup)
    data = (await tell(speakers, request_id)).completed
    *failed, answered = data.attempts
    assert [each.error_class for each in failed] == classes
    assert [fallback.reason for fallback in data.fallbacks] == [classes[-1]]
    burned = name == "burned"
    assert {(each.usage, each.usage_source) for each in failed} == {
        (USAGE if burned else Usage(), "reported" if burned else "none")
    }
    assert (answered.usage, data.cost_nano) == (USAGE, charge_nano(PRICES, USAGE))


@SPEAKING
@pytest.mark.parametrize(("kind", "error_class"), [("malformed", "malformed_reply"), ("cut", "connection_failed")])
async def test_a_broken_plain_reply_is_answered_by_the_backup_in_each_dialect(
    speakers: Rig, asker: Asker, dialect: str, kind: str, error_class: str
) -> None:
    lane = speakers.lane(prefix=dialect)
    speakers.script(lane.main, {"kind": kind, "times": 2})
    request_id, reply = await asker.ask(lane, messages=said(PLAIN))
    assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.backup)
    data = (await tell(speakers, request_id)).completed
    assert [each.error_class for each in data.attempts] == [error_class, error_class, None]


@SPEAKING
@pytest.mark.parametrize(("kind", "code"), [("cut", "stream_cut"), ("malformed", "malformed_reply")])
async def test_a_stream_that_breaks_midway_is_told_as_broken_in_each_dialect(
    speakers: Rig, asker: Asker, dialect: str, kind: str, code: str
) -> None:
    lane = speakers.lane(prefix=dialect)
    speakers.script(lane.main, {"kind": kind, "after_chunks": 6})
    script = "[sim input_tokens=90 cached_tokens=30 output_tokens=400 chunk_ms=20]"
    request_id, reply = await asker.ask(lane, messages=said(script), **options(stream=True))
    assert (reply.status, reply.events[-1]["error"]["code"]) == (200, code)
    data = (await tell(speakers, request_id)).completed
    assert (data.outcome, data.error_class, len(data.attempts), data.charged_attempt) == ("failed", code, 1, 1)
    # Of six events: OpenAI's first says nothing, four of a response's, three of Anthropic's; Gemini's say four words each.
    passed_on = {"openai": 5, "openai-responses": 2, "anthropic": 3, "gemini": 24}[dialect]
    charged = data.attempts[0].usage.output_tokens
    if dialect in ("anthropic", "gemini"):
        # These tell the prompt's count before the end; it is charged as they told it.
        assert (data.attempts[0].usage.input_tokens, data.attempts[0].usage.cached_input_tokens) == (60, 30)
    # What arrived together with a malformed event does not go on, and is not charged.
    assert charged == passed_on if kind == "cut" else charged <= passed_on
    assert data.cost_nano == charge_nano(PRICES, data.attempts[0].usage)


@STREAMS
@SPEAKING
async def test_an_upstream_that_ignores_its_cap_is_paid_for_the_cap_at_most(
    speakers: Rig, asker: Asker, dialect: str, *, stream: bool
) -> None:
    lane = speakers.lane(prefix=dialect)
    script = "[sim input_tokens=90 output_tokens=300 ignore_cap=1]"
    request_id, reply = await asker.ask(lane, messages=said(script), max_tokens=50, **options(stream))
    assert reply.status == 200
    assert speakers.asked(lane.main)[-1]["max_tokens"] == 50
    data = (await tell(speakers, request_id)).completed
    assert data.cost_nano is not None
    if stream:
        content, finish, usage = message_of(reply, stream=True)
        assert (finish, usage["completion_tokens"]) == ("length", 50)
        assert len(content["content"].split()) <= 50 + 4
        assert data.attempts[0].usage.output_tokens == 50


@pytest.mark.parametrize(
    ("dialect", "param", "value"),
    [
        ("anthropic", "logprobs", True),
        ("gemini", "logprobs", True),
        ("anthropic", "logit_bias", {"50256": -100}),
        ("gemini", "logit_bias", {"50256": -100}),
        ("openai-responses", "logit_bias", {"50256": -100}),
        ("openai-responses", "stop", ["x"]),
        ("openai-responses", "seed", 7),
    ],
)
async def test_what_a_route_cannot_say_is_refused_by_name_and_a_route_that_can_goes_on(
    speakers: Rig, asker: Asker, dialect: str, param: str, value: object
) -> None:
    lane = speakers.lane(prefix=dialect)
    body: dict[str, Any] = {"messages": said(PLAIN), param: value}
    request_id, alone = await asker.ask(lane, policy={"fallback": False}, **body)
    assert alone.status == 400
    assert (alone.json["error"]["param"], alone.json["error"]["code"]) == (param, "unsupported_parameter")
    assert alone.headers["x-tollbook-rejected"] == "unsupported_parameter"
    request_id, reply = await asker.ask(lane, **body)
    assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.backup)
    assert speakers.stats(lane.main)["requests"] == 0
    data = (await tell(speakers, request_id)).completed
    assert [(each.attempt, each.channel) for each in data.attempts] == [(1, lane.backup)]


@pytest.mark.parametrize(
    ("param", "more"),
    [("temperature", {"temperature": 0.2}), ("tool_choice", {"tools": TOOLS, "tool_choice": "required"})],
)
async def test_what_anthropic_does_not_take_beside_thinking_is_named(
    speakers: Rig, asker: Asker, param: str, more: dict[str, Any]
) -> None:
    lane = speakers.lane(prefix="anthropic")
    body: dict[str, Any] = {"messages": said(PLAIN), "reasoning_effort": "low", **more}
    _, alone = await asker.ask(lane, policy={"fallback": False}, **body)
    assert (alone.status, alone.json["error"]["param"]) == (400, param)
    _, reply = await asker.ask(lane, **body)
    assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.backup)


@FOREIGN
@pytest.mark.parametrize(
    "body",
    [
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "w", "schema": TOOLS[0]["function"]["parameters"]},
            }
        },
        {"reasoning_effort": "low"},
        {"reasoning_effort": "low", "temperature": 1, "tools": TOOLS, "tool_choice": "auto"},
        {"stop": ["never said"], "top_p": 0.9, "user": "someone"},
        {"tools": TOOLS, "parallel_tool_calls": True, "tool_choice": "auto"},
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "weather"}}},
        {"metadata": {"run_id": "r", "feature": "x"}},
    ],
    ids=["schema", "effort", "effort with tools", "stop", "auto", "forced tool", "metadata"],
)
async def test_what_router_sends_is_never_refused_by_the_provider(
    speakers: Rig, asker: Asker, dialect: str, body: dict[str, Any]
) -> None:
    lane = speakers.lane(prefix=dialect)
    _, reply = await asker.ask(lane, messages=said(""), **body)
    assert reply.status == 200, reply.body
    assert "400" not in speakers.stats(lane.main).get("statuses", {})
