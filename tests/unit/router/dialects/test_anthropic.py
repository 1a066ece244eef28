"""Chat completions over Anthropic's messages: what goes out, what comes in, and what is refused by name."""

import json
from typing import Any

import orjson
import pytest

from schemas.money import Usage
from services.router.ask import parse_ask
from services.router.dialects.anthropic import Anthropic
from services.router.errors import UpstreamError

DIALECT = Anthropic(clock=lambda: 1_700_000_000)
PNG = "iVBORw0KGgo="
WEATHER = {
    "name": "weather",
    "description": "the weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bonn"}'}}


def sent(cap: int = 100, **fields: Any) -> dict[str, Any]:
    """The request for the upstream."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    found: dict[str, Any] = json.loads(DIALECT.request_body(parse_ask(orjson.dumps(body)), "claude-x", cap))
    return found


def refused_param(cap: int = 100, **fields: Any) -> str:
    """The parameter that a refusal names."""
    with pytest.raises(UpstreamError) as refused:
        sent(cap, **fields)
    assert (refused.value.status, refused.value.verdict) == (400, "next")
    param: str = json.loads(refused.value.body)["error"]["param"]
    return param


def test_a_request_brings_its_cap_and_its_system_apart() -> None:
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "developer", "content": [{"type": "text", "text": "and kind"}]},
        {"role": "user", "content": "hi"},
    ]
    assert sent(messages=messages, max_tokens=5, temperature=0.5, top_p=1, stop="x", stream=True, user="u1") == {
        "model": "claude-x",
        "max_tokens": 100,
        "system": "be brief\n\nand kind",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "temperature": 0.5,
        "top_p": 1,
        "stop_sequences": ["x"],
        "stream": True,
        "metadata": {"user_id": "u1"},
    }


def test_tool_calls_and_all_their_results_stand_in_one_turn_each() -> None:
    second = {**CALL, "id": "call_2"}
    messages = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": "I look", "tool_calls": [CALL, second]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sun"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "rain"}]},
        {"role": "user", "content": "so?"},
    ]
    turns = sent(messages=messages)["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[1]["content"][1] == {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Bonn"}}
    assert turns[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "call_1", "content": "sun"},
        {"type": "tool_result", "tool_use_id": "call_2", "content": [{"type": "text", "text": "rain"}]},
        {"type": "text", "text": "so?"},
    ]


def test_tools_and_the_wish_for_them() -> None:
    tools = [{"type": "function", "function": WEATHER}, {"type": "function", "function": {"name": "now", "strict": True}}]
    request = sent(tools=tools, tool_choice={"type": "function", "function": {"name": "now"}}, parallel_tool_calls=False)
    assert request["tools"] == [
        {"name": "weather", "description": "the weather", "input_schema": WEATHER["parameters"]},
        {"name": "now", "input_schema": {"type": "object"}, "strict": True},
    ]
    assert request["tool_choice"] == {"type": "tool", "name": "now", "disable_parallel_tool_use": True}
    for wish, kind in (("auto", "auto"), ("none", "none"), ("required", "any")):
        assert sent(tools=tools, tool_choice=wish)["tool_choice"] == {"type": kind}
    assert sent(tools=tools, parallel_tool_calls=False)["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


def test_images_and_files() -> None:
    content = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PNG}"}},
    ]
    blocks = sent(messages=[{"role": "user", "content": content}])["messages"][0]["content"]
    assert [block["type"] for block in blocks] == ["text", "image", "image", "document"]
    assert [block["source"] for block in blocks[1:]] == [
        {"type": "base64", "media_type": "image/png", "data": PNG},
        {"type": "url", "url": "https://example.org/a.png"},
        {"type": "base64", "media_type": "application/pdf", "data": PNG},
    ]


def test_structured_output_and_thinking() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    wish = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert sent(response_format=wish)["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert "output_config" not in sent(response_format={"type": "text"})
    assert sent(cap=8000, reasoning_effort="medium")["thinking"] == {"type": "enabled", "budget_tokens": 4096}
    assert sent(cap=3000, reasoning_effort="high")["thinking"] == {"type": "enabled", "budget_tokens": 1976}
    for cap, effort in ((2000, "low"), (8000, "none"), (8000, "minimal")):
        assert "thinking" not in sent(cap=cap, reasoning_effort=effort)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"seed": 1}, "seed"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"frequency_penalty": 0.1}, "frequency_penalty"),
        ({"temperature": 1.5}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"stop": [1]}, "stop"),
        ({"some_new_thing": 1}, "some_new_thing"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"tools": [{"type": "web_search"}]}, "tools.0"),
        ({"tools": {}}, "tools"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"messages": [{"role": "critic", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "data:x"}]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "["}}]}]}, "messages.0.tool_calls.0"),
    ],
)
def test_what_has_no_meaning_is_refused_by_its_name(fields: dict[str, Any], param: str) -> None:
    assert refused_param(**fields) == param


def test_what_asks_for_nothing_else_is_left_out() -> None:
    neutral: dict[str, Any] = {
        "n": 1,
        "frequency_penalty": 0,
        "logprobs": False,
        "metadata": {"a": "b"},
        "store": True,
        "seed": None,
    }
    assert sent(**neutral) == sent()


MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2, "output_tokens": 7},
}


def read(**fields: Any) -> Any:
    """The reply to a message."""
    return DIALECT.read_reply(orjson.dumps({**MESSAGE, **fields}))


def test_a_message_is_a_chat_completion() -> None:
    reply = read()
    assert reply.usage == Usage(input_tokens=10, cached_input_tokens=5, cache_write_tokens=2, output_tokens=7)
    assert (reply.upstream_id, reply.model, reply.document["created"]) == ("msg_1", "claude-x", 1_700_000_000)
    choice = reply.document["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "Hello"}
    assert choice["finish_reason"] == "stop"
    assert reply.document["usage"]["prompt_tokens"] == 17


def test_tool_use_and_thinking_come_back_as_calls_and_reasoning() -> None:
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bonn"}},
    ]
    message = read(content=content, stop_reason="tool_use").document["choices"][0]["message"]
    assert message["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":"Bonn"}'}
    assert (message["content"], message["reasoning_content"]) == (None, "hm")
    again = sent(messages=[{"role": "user", "content": "x"}, message])["messages"][1]["content"]
    assert again == [content[0], {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bonn"}}]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("max_tokens", "length"), ("refusal", "content_filter"), ("stop_sequence", "stop"), ("something_new", "stop")],
)
def test_stop_reasons(reason: str, finish: str) -> None:
    assert read(stop_reason=reason).document["choices"][0]["finish_reason"] == finish


@pytest.mark.parametrize(
    "fields", [{"content": None}, {"content": [{"type": "text"}]}, {"stop_reason": None}, {"content": [1]}]
)
def test_a_message_that_is_none_still_tells_what_it_burned(fields: dict[str, Any]) -> None:
    with pytest.raises(UpstreamError) as malformed:
        read(**fields)
    assert malformed.value.error_class == "malformed_reply"
    assert malformed.value.usage is not None
    assert malformed.value.upstream_id == "msg_1"
    for body in (b"", b"[]", b"{", b"null"):
        with pytest.raises(UpstreamError):
            DIALECT.read_reply(body)


def test_usage_that_contradicts_itself_is_none() -> None:
    for usage in ({}, None, {"input_tokens": -1, "output_tokens": 1}, {"input_tokens": 1.5, "output_tokens": 1}):
        assert read(usage=usage).usage is None


def events(*documents: dict[str, Any]) -> bytes:
    """Server-sent events as Anthropic names them."""
    return b"".join(b"event: %s\ndata: %s\n\n" % (d["type"].encode(), orjson.dumps(d)) for d in documents)


def delta(index: int, **fields: Any) -> dict[str, Any]:
    """A block's next piece."""
    return {"type": "content_block_delta", "index": index, "delta": fields}


STREAM = events(
    {"type": "message_start", "message": {**MESSAGE, "content": [], "usage": {"input_tokens": 10, "output_tokens": 1}}},
    {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    delta(0, type="text_delta", text="Hel"),
    delta(0, type="text_delta", text="lo"),
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t", "name": "w", "input": {}}},
    delta(1, type="input_json_delta", partial_json='{"city":'),
    delta(1, type="input_json_delta", partial_json='"Bonn"}'),
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 12}},
    {"type": "message_stop"},
)


def chunks_of(data: bytes) -> list[dict[str, Any]]:
    """The chunks in a stream."""
    return [json.loads(line[6:]) for line in data.splitlines() if line.startswith(b"data: {")]


@pytest.mark.parametrize("size", [1, 7, 50, 10**6])
def test_a_stream_reads_the_same_however_it_is_cut(size: int) -> None:
    stream = DIALECT.stream(1, 1000)
    passed = b"".join([stream.feed(STREAM[at : at + size]) for at in range(0, len(STREAM), size)])
    assert stream.complete
    assert stream.ended
    assert stream.usage == Usage(input_tokens=10, output_tokens=12)
    assert stream.upstream_id == "msg_1"
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks_of(passed)]
    assert "".join(each.get("content") or "" for each in deltas) == "Hello"
    calls = [each["tool_calls"][0] for each in deltas if "tool_calls" in each]
    assert (calls[0]["id"], calls[0]["function"]["name"]) == ("t", "w")
    assert "".join(call["function"]["arguments"] for call in calls) == '{"city":"Bonn"}'
    tail = stream.ending(stream.usage, {"cost": "1"}, include_usage=True)
    assert chunks_of(tail)[0]["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks_of(tail)[1]["usage"]["cost"] == "1"
    assert tail.endswith(b"data: [DONE]\n\n")


def test_a_stream_that_breaks_before_its_end_is_not_complete() -> None:
    stream = DIALECT.stream(1, 1000)
    stream.feed(STREAM[: STREAM.index(b"message_delta")])
    assert not stream.complete
    assert stream.tokens_seen > 0
    # What a broken stream is charged for its prompt is what Anthropic told at the start.
    assert (stream.usage, stream.prompt) == (None, Usage(input_tokens=10))


def test_an_error_in_a_stream_ends_it() -> None:
    stream = DIALECT.stream(1, 1000)
    stream.feed(STREAM[:400])
    stream.feed(events({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}))
    assert stream.error is not None
    assert stream.error["message"] == "Overloaded"


def test_an_upstream_that_ignores_its_cap_is_cut() -> None:
    stream = DIALECT.stream(1, 1)
    passed = stream.feed(STREAM)
    assert stream.capped
    assert "lo" not in [chunk["choices"][0]["delta"].get("content") for chunk in chunks_of(passed)]


@pytest.mark.parametrize(
    ("status", "kind", "error_class", "verdict"),
    [
        (400, "invalid_request_error", "invalid_request", "pass"),
        (401, "authentication_error", "unauthorized", "next"),
        (429, "rate_limit_error", "rate_limited", "retry"),
        (500, "api_error", "upstream_error", "retry"),
        (529, "overloaded_error", "upstream_unavailable", "retry"),
    ],
)
def test_errors(status: int, kind: str, error_class: str, verdict: str) -> None:
    body = orjson.dumps({"type": "error", "error": {"type": kind, "message": "so"}})
    failure = DIALECT.failure_of(status, body, None)
    assert (failure.error_class, failure.verdict) == (error_class, verdict)
    if verdict == "pass":
        assert json.loads(failure.body)["error"]["message"] == "so"
    assert DIALECT.failure_of(status, b"<html>", None).error_class == error_class


@pytest.mark.parametrize(
    ("param", "more"),
    [
        ("temperature", {"temperature": 0.2}),
        ("tool_choice", {"tools": [{"type": "function", "function": WEATHER}], "tool_choice": "required"}),
    ],
)
def test_what_thinking_leaves_to_the_model_is_refused_beside_it(param: str, more: dict[str, Any]) -> None:
    assert refused_param(cap=4_000, reasoning_effort="low", **more) == param
    assert "thinking" not in sent(cap=1_500, reasoning_effort="low", **more)


def test_thinking_is_told_as_reasoning() -> None:
    usage = {"input_tokens": 9, "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 5}}
    reply = DIALECT.read_reply(orjson.dumps({**MESSAGE, "usage": usage}))
    assert reply.usage == Usage(input_tokens=9, output_tokens=7, reasoning_tokens=5)


def test_an_error_that_tells_its_usage_is_heard() -> None:
    body = {"type": "error", "error": {"type": "api_error", "message": "no"}, "usage": {"input_tokens": 9, "output_tokens": 7}}
    assert DIALECT.failure_of(500, orjson.dumps(body), None).usage == Usage(input_tokens=9, output_tokens=7)
