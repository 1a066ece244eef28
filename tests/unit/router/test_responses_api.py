"""OpenAI's responses as clients send them: over routes that speak chat completions, messages and generateContent."""

import json
from typing import Any

import orjson
import pytest

from services.router.ask import Ask
from services.router.clients.naming import renamed
from services.router.clients.responses import Responses
from services.router.dialects.anthropic import Anthropic
from services.router.dialects.gemini import Gemini
from services.router.dialects.openai_dialect import OpenAI
from services.router.dialects.thinking_blocks import opened, sealed
from services.router.errors import RefusalError, UpstreamError

API, OPENAI, ANTHROPIC = Responses(), OpenAI(), Anthropic(clock=lambda: 1_700_000_000)
THOUGHTS = [{"type": "thinking", "thinking": "hm", "signature": "s"}]
ASKED: dict[str, Any] = {
    "model": "m",
    "instructions": "be brief",
    "max_output_tokens": 50,
    "input": [
        {"role": "developer", "content": "in French"},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "what is this?"},
                {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "low"},
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed(THOUGHTS)},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look", "annotations": []}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "w", "arguments": "{}", "status": "completed"},
        {"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "w", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "sun"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "rain"}]},
    ],
    "tools": [{"type": "function", "name": "w", "description": "d", "parameters": {"type": "object"}, "strict": True}],
    "tool_choice": {"type": "function", "name": "w"},
    "parallel_tool_calls": False,
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}, "strict": True}, "verbosity": "low"},
    "include": ["reasoning.encrypted_content"],
    "store": False,
    "truncation": "disabled",
    "metadata": {"run_id": "run_1"},
}


def parsed(**fields: Any) -> Ask:
    """The ask of a request."""
    return API.parse(orjson.dumps({**ASKED, **fields}))


def simple(**fields: Any) -> Ask:
    """The ask of a short request."""
    return API.parse(orjson.dumps({"model": "m", "input": "hi", **fields}))


def test_a_request_means_the_same_as_a_chat_completion() -> None:
    ask = parsed()
    assert (ask.client_api, ask.model, ask.cap, ask.stream, ask.image_parts, ask.messages) == (
        "responses",
        "m",
        50,
        False,
        1,
        6,
    )
    call = {"type": "function", "function": {"name": "w", "arguments": "{}"}}
    assert json.loads(OPENAI.request_body(ask, "gpt-x", 40)) == {
        "model": "gpt-x",
        "max_tokens": 40,
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "developer", "content": "in French"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "what is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}},
                ],
            },
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "I look"}],
                "tool_calls": [
                    {"id": "c1", **call},
                    {"id": "c2", "type": "function", "function": {"name": "w", "arguments": '{"a":1}'}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "sun"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "rain"}]},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "w", "description": "d", "parameters": {"type": "object"}, "strict": True},
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "w"}},
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
        "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True}},
    }


def test_thinking_that_came_from_anthropic_goes_back_to_it_before_the_calls_of_its_turn() -> None:
    ask = parsed(text=None, tool_choice=None)
    turns = json.loads(ANTHROPIC.request_body(ask, "claude-x", 2048))["messages"]
    assert [block["type"] for block in turns[1]["content"]] == ["thinking", "text", "tool_use", "tool_use"]
    assert turns[1]["content"][0] == THOUGHTS[0]


@pytest.mark.parametrize("content", [None, "gAAAA", "tb1.!", "tb1.e30=", "tb1.WzFd"])
def test_reasoning_of_anybody_else_is_left_out(content: Any) -> None:
    assert opened(content) == []


def test_smuggled_blocks_are_no_thinking() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    item = {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": sealed([image])}
    ask = simple(input=[item, {"role": "assistant", "content": "so"}, {"role": "user", "content": "?"}])
    with pytest.raises(UpstreamError) as refused:
        ANTHROPIC.request_body(ask, "claude-x", 100)
    assert json.loads(refused.value.body)["error"]["param"] == "messages.0.thinking_blocks"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"background": True}, "background"),
        ({"store": True}, "store"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"prompt_cache_options": {"ttl": "12h"}}, "prompt_cache_options.ttl"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"tools": [{"type": "web_search"}]}, "tools.0"),
        ({"tools": [{"type": "mcp", "server_url": "https://example.com"}]}, "tools.0"),
        ({"tools": [{"type": "function"}]}, "tools.0.name"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": "9"}, "max_output_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_obfuscation": False}}, "stream_options"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [1]}, "input.0"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input.0"),
        ({"input": [{"type": "web_search_call", "id": "x"}]}, "input.0"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input.0.role"),
        ({"input": [{"role": "user", "content": 5}]}, "input.0.content"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input.0.content.0"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "input.0.content.0"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "u"}]}]}, "input.0.content.0"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "w"}]}, "input.0"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input.0.call_id"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format"),
        ({"input": [{"role": "user", "content": "hi"}, "a"]}, "input.1"),
        ({"text": "json"}, "text"),
        ({"reasoning": "much"}, "reasoning"),
        ({"instructions": ["x"]}, "instructions"),
        ({"metadata": "x"}, "metadata"),
    ],
)
def test_what_cannot_be_priced_or_is_not_kept_here_is_refused_by_its_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RefusalError) as refused:
        simple(**fields)
    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "custom", "name": "c"}]}, "tools.0"),
        ({"tool_choice": {"type": "custom", "name": "c"}}, "tool_choice"),
        ({"input": [{"type": "custom_tool_call", "call_id": "c", "name": "n", "input": "x"}]}, "input.0"),
        ({"truncation": "auto"}, "truncation"),
        ({"max_tool_calls": 3}, "max_tool_calls"),
        ({"include": ["file_search_call.results"]}, "include.0"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"something_new": 1}, "something_new"),
    ],
)
def test_what_only_a_provider_of_responses_understands_is_refused_by_every_other(fields: dict[str, Any], param: str) -> None:
    ask = simple(**fields)
    for dialect in (OPENAI, ANTHROPIC, Gemini(clock=lambda: 0)):
        with pytest.raises(UpstreamError) as refused:
            dialect.request_body(ask, "x", 40)
        assert json.loads(refused.value.body)["error"]["param"] == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"reasoning": {"effort": "endless"}}, "reasoning.effort"),
        ({"text": {"format": {"type": "json_object"}}}, "text.format"),
        ({"text": {"verbosity": "high"}}, "text.verbosity"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:x"}]}]}, "input"),
    ],
)
def test_a_route_refuses_a_parameter_by_the_clients_name_for_it(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(UpstreamError) as refused:
        ANTHROPIC.request_body(simple(**fields), "claude-x", 40)
    assert json.loads(renamed(refused.value, API.names).body)["error"]["param"] == param
