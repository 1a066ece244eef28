"""Anthropic's messages as clients send them: over a route that speaks chat completions, and over one that speaks messages."""

import json
from typing import Any

import orjson
import pytest

from schemas.money import Usage
from services.router.ask import parse_ask
from services.router.clients.messages import Messages
from services.router.dialects.anthropic import Anthropic
from services.router.dialects.openai import priced, read_reply
from services.router.dialects.openai_dialect import OpenAI
from services.router.errors import RefusalError, UpstreamError
from tests.unit.router.dialects.test_anthropic import MESSAGE, STREAM

API, OPENAI, ANTHROPIC = Messages(), OpenAI(), Anthropic(clock=lambda: 1_700_000_000)
COST = {"cost": "0.5", "currency": "USD", "bucket": "credit"}
ASKED: dict[str, Any] = {
    "model": "m",
    "max_tokens": 50,
    "system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {
            "role": "user",
            "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}],
        },
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "I look"}, {"type": "tool_use", "id": "t1", "name": "w", "input": {}}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "sun"}, {"type": "text", "text": "so?"}],
        },
    ],
    "tools": [{"name": "w", "description": "d", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
    "stop_sequences": ["x"],
    "metadata": {"user_id": "u", "run_id": "run_1"},
    "thinking": {"type": "enabled", "budget_tokens": 5000},
}


def parsed(**fields: Any) -> Any:
    """The ask of a request."""
    return API.parse(orjson.dumps({**ASKED, **fields}))


def test_a_request_means_the_same_as_a_chat_completion() -> None:
    ask = parsed()
    assert (ask.client_api, ask.model, ask.cap, ask.stream, ask.image_parts, ask.messages) == ("messages", "m", 50, False, 1, 5)
    body = json.loads(OPENAI.request_body(ask, "gpt-x", 40))
    assert body == {
        "model": "gpt-x",
        "max_tokens": 40,
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "be brief"}]},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]},
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "I look"}],
                "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "w", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "sun"},
            {"role": "user", "content": [{"type": "text", "text": "so?"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "w", "parameters": {"type": "object"}, "description": "d"}}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "stop": ["x"],
        "user": "u",
        "reasoning_effort": "medium",
    }


def test_a_provider_that_speaks_messages_gets_the_clients_own() -> None:
    sent = json.loads(ANTHROPIC.request_body(parsed(top_k=5, context_management={"edits": []}), "claude-x", 40))
    assert sent == {
        **ASKED,
        "model": "claude-x",
        "max_tokens": 40,
        "top_k": 5,
        "context_management": {"edits": []},
        "metadata": {"user_id": "u"},
        "thinking": {"type": "disabled"},
    }
    wide = json.loads(ANTHROPIC.request_body(parsed(max_tokens=9000), "claude-x", 4000))
    assert wide["thinking"] == {"type": "enabled", "budget_tokens": 2976}


def test_what_only_messages_can_say_is_refused_by_its_name_elsewhere() -> None:
    for fields, param in (({"top_k": 5}, "top_k"), ({"output_config": {"effort": "high"}}, "output_config.effort")):
        with pytest.raises(UpstreamError) as refused:
            OPENAI.request_body(parsed(**fields), "gpt-x", 40)
        assert json.loads(refused.value.body)["error"]["param"] == param


def test_structured_output_is_asked_for() -> None:
    wanted = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    body = json.loads(OPENAI.request_body(parsed(output_config=wanted), "gpt-x", 40))
    assert body["response_format"] == {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"model": 1}, "model"),
        ({"messages": "hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "container_upload"}]}]}, "messages.0.content.0"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}]},
            "messages.0.content.0.source",
        ),
        ({"messages": [{"role": "assistant", "content": [{"type": "tool_use"}]}]}, "messages.0.content.0"),
        ({"system": [{"type": "image", "source": {"type": "url", "url": "https://example.org/a"}}]}, "system"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format"),
        ({"stream": "yes"}, "stream"),
        ({"messages": [{"role": [], "content": "x"}]}, "messages.0.role"),
        ({"tool_choice": {"type": []}}, "tool_choice"),
    ],
)
def test_bad_input_names_the_parameter(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RefusalError) as refused:
        parsed(**fields)
    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"1"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(RefusalError):
        API.parse(body)


CHAT: dict[str, Any] = {
    "id": "chatcmpl-1",
    "model": "gpt-x",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "I look",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "w", "arguments": '{"a":1}'}}],
            },
        }
    ],
    "usage": {"prompt_tokens": 20, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 5}},
}


def test_a_chat_completion_is_told_as_a_message_with_its_cost() -> None:
    reply = read_reply(orjson.dumps(CHAT))
    assert reply.usage is not None
    message = json.loads(API.plain(parsed(), reply, priced(reply, reply.usage, COST), COST))
    assert message == {
        "id": "msg_chatcmpl-1",
        "type": "message",
        "role": "assistant",
        "model": "gpt-x",
        "content": [
            {"type": "text", "text": "I look", "citations": None},
            {"type": "tool_use", "id": "c1", "name": "w", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 15,
            "cache_read_input_tokens": 5,
            "cache_creation_input_tokens": 0,
            "output_tokens": 7,
            **COST,
        },
    }


def test_the_providers_own_message_stays_as_it_is_but_for_the_cost() -> None:
    reply = ANTHROPIC.read_reply(orjson.dumps({**MESSAGE, "container": {"id": "c"}}))
    assert reply.usage is not None
    message = json.loads(API.plain(parsed(), reply, priced(reply, reply.usage, COST), COST))
    assert message == {**MESSAGE, "container": {"id": "c"}, "usage": {**MESSAGE["usage"], **COST}}


@pytest.mark.parametrize("arguments", ["[", "not json"])
def test_a_tool_call_that_is_no_json_is_a_malformed_reply(arguments: str) -> None:
    chat = json.loads(json.dumps(CHAT))
    chat["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = arguments
    reply = read_reply(orjson.dumps(chat))
    assert reply.usage is not None
    with pytest.raises(TypeError):
        API.plain(parsed(), reply, priced(reply, reply.usage, COST), COST)


def told(data: bytes) -> list[dict[str, Any]]:
    """The events in a stream; each is named twice."""
    found = []
    for part in data.split(b"\n\n")[:-1]:
        name, body = part.split(b"\n", 1)
        document = json.loads(body.removeprefix(b"data: "))
        assert name == b"event: " + document["type"].encode()
        found.append(document)
    return found


@pytest.mark.parametrize("size", [1, 33, 10**6])
def test_a_stream_is_told_as_events_and_reads_back_the_same(size: int) -> None:
    stream = API.stream(parsed(), ANTHROPIC.stream(1, 1000))
    passed = b"".join([stream.feed(STREAM[at : at + size]) for at in range(0, len(STREAM), size)])
    assert stream.usage == Usage(input_tokens=10, output_tokens=12)
    events = told(passed + stream.ending(stream.usage, COST, include_usage=False))
    assert [each["type"] for each in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert [each["index"] for each in events if "index" in each] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert events[5]["content_block"] == {"type": "tool_use", "id": "t", "name": "w", "input": {}}
    assert events[9]["delta"]["stop_reason"] == "tool_use"
    assert (events[9]["usage"]["output_tokens"], events[9]["usage"]["cost"]) == (12, "0.5")


def test_the_end_waits_for_the_record() -> None:
    stream = API.stream(parsed(), ANTHROPIC.stream(1, 1000))
    passed = told(stream.feed(STREAM))
    assert "message_delta" not in [each["type"] for each in passed]


def test_a_broken_stream_ends_with_an_error_event() -> None:
    stream = API.stream(parsed(), OPENAI.stream(1, 1000))
    (error,) = told(stream.failure({"error": {"message": "cut", "type": "server_error", "code": "stream_cut"}}))
    assert error == {"type": "error", "error": {"type": "api_error", "message": "cut", "code": "stream_cut"}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"inference_geo": "us"}, "inference_geo"),
        ({"speed": "fast"}, "speed"),
        ({"container": {"skills": []}}, "container"),
        ({"mcp_servers": [{"type": "url", "url": "https://example.com"}]}, "mcp_servers"),
        ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, "cache_control.ttl"),
        ({"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}, "cache_control.ttl"),
        ({"tools": [{"name": "w", "input_schema": {}, "cache_control": {"ttl": "1h"}}]}, "cache_control.ttl"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"ttl": "1h"}}]}]},
            "cache_control.ttl",
        ),
    ],
)
def test_what_anthropic_bills_at_another_price_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(UpstreamError) as refused:
        ANTHROPIC.request_body(parsed(**fields), "claude-x", 40)
    assert json.loads(refused.value.body)["error"]["param"] == param


@pytest.mark.parametrize(
    "fields", [{"inference_geo": "global"}, {"speed": "standard"}, {"cache_control": {"type": "ephemeral", "ttl": "5m"}}]
)
def test_what_changes_no_price_passes(fields: dict[str, Any]) -> None:
    assert json.loads(ANTHROPIC.request_body(parsed(**fields), "claude-x", 40)).items() >= fields.items()


def test_a_chat_completion_asks_for_no_longer_cache_either() -> None:
    part = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    ask = parse_ask(orjson.dumps({"model": "m", "messages": [{"role": "user", "content": [part]}]}))
    with pytest.raises(UpstreamError):
        ANTHROPIC.request_body(ask, "claude-x", 40)
