"""What the Anthropic dialect reads and writes, checked with the official package's own types."""

from __future__ import annotations

from typing import Any, TypeVar

import orjson
import pytest
from anthropic.types import (
    ErrorResponse,
    Message,
    ModelInfo,
    RawContentBlockDeltaEvent,
    RawContentBlockStartEvent,
    RawContentBlockStopEvent,
    RawMessageDeltaEvent,
    RawMessageStartEvent,
    RawMessageStopEvent,
)
from pydantic import BaseModel

from deploy.local.provider.dialects import Events, Stamp
from deploy.local.provider.dialects.anthropic import MODELS, Anthropic
from deploy.local.provider.errors import RefusedError
from deploy.local.provider.invoice import streamed

T = TypeVar("T", bound=BaseModel)
STAMP = Stamp(b"00ff", 1_700_000_000, b"msg_")
DIALECT = Anthropic()
TYPES: dict[str, type[BaseModel]] = {
    "message_start": RawMessageStartEvent,
    "content_block_start": RawContentBlockStartEvent,
    "content_block_delta": RawContentBlockDeltaEvent,
    "content_block_stop": RawContentBlockStopEvent,
    "message_delta": RawMessageDeltaEvent,
    "message_stop": RawMessageStopEvent,
}
TOOL = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}}},
}
CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bern"}}]}
ANSWER = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "call the tool"}]}


def strict(model: type[T], raw: bytes) -> T:
    parsed = model.model_validate_json(raw)
    assert not parsed.model_extra
    return parsed


def body_of(text: str = "hi", **fields: object) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": "claude-sonnet-5", "max_tokens": 4_096, "messages": messages, **fields}


def plain(text: str = "hi", **fields: object) -> Message:
    return strict(Message, DIALECT.plain(DIALECT.read(body_of(text, **fields)), STAMP))


def events(text: str = "hi", **fields: object) -> Events:
    return DIALECT.events(DIALECT.read(body_of(text, stream=True, **fields)), STAMP)


def told(found: Events) -> list[dict[str, Any]]:
    """The events' data, each of which its type accepts and whose name the event line repeats."""
    data = []
    for event in found.events:
        name, _, rest = event.decode().removeprefix("event: ").partition("\ndata: ")
        assert rest.endswith("\n\n")
        said = orjson.loads(rest)
        assert said["type"] == name
        if name != "ping":
            strict(TYPES[name], orjson.dumps(said))
        data.append(said)
    return data


def test_input_tokens_leave_out_what_the_cache_read_and_wrote() -> None:
    usage = plain("[sim input_tokens=900 cached_tokens=500 cache_write_tokens=300 output_tokens=7]").usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (100, 500, 300)
    assert usage.cache_creation is not None
    assert (usage.cache_creation.ephemeral_5m_input_tokens, usage.output_tokens) == (300, 7)


def test_events_come_in_the_order_that_is_documented() -> None:
    kinds = [event["type"] for event in told(events("[sim output_tokens=2]"))]
    assert kinds == [
        "message_start", "content_block_start", "ping", "content_block_delta", "content_block_delta", "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip


def test_a_stream_says_what_the_plain_reply_says_and_counts_the_same() -> None:
    data = told(events())
    text = "".join(event["delta"]["text"] for event in data if event["type"] == "content_block_delta")
    whole = plain()
    assert [block.text for block in whole.content if block.type == "text"] == [text]
    final = data[-2]
    assert (final["delta"]["stop_reason"], final["usage"]["output_tokens"]) == ("end_turn", whole.usage.output_tokens)
    assert data[0]["message"]["usage"]["output_tokens"] == 1
    assert final["usage"]["input_tokens"] == data[0]["message"]["usage"]["input_tokens"] == whole.usage.input_tokens


def test_a_cap_stops_the_message_and_says_so() -> None:
    reply = plain("[sim output_tokens=9]", max_tokens=4)
    assert (reply.stop_reason, reply.usage.output_tokens) == ("max_tokens", 4)


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": {"type": "any"}},
        {"tool_choice": {"type": "tool", "name": "weather"}},
        {"text": "please CALL THE TOOL"},
        {"text": "[sim tool=1]"},
    ],
)
def test_a_tool_is_used_when_forced_scripted_or_asked_for(fields: dict[str, Any]) -> None:
    reply = plain(tools=[TOOL], **fields)
    block = reply.content[0]
    assert (reply.stop_reason, block.type) == ("tool_use", "tool_use")
    assert block.input == {"city": "filler", "days": 3}  # type: ignore[union-attr]
    data = told(events(tools=[TOOL], **fields))
    pieces = "".join(event["delta"]["partial_json"] for event in data if event["type"] == "content_block_delta")
    assert orjson.loads(pieces) == block.input  # type: ignore[union-attr]
    assert data[1]["content_block"] == {"type": "tool_use", "id": "toolu_00ff", "name": "weather", "input": {}}


def test_a_tool_result_is_answered_in_text() -> None:
    assert plain(tools=[TOOL], messages=[{"role": "user", "content": "call the tool"}, CALL, ANSWER]).stop_reason == "end_turn"


def test_thinking_that_was_asked_for_comes_first_and_is_signed() -> None:
    asked = {"thinking": {"type": "enabled", "budget_tokens": 1_024}, "text": "[sim output_tokens=30 reasoning_tokens=20]"}
    reply = plain(**asked)  # type: ignore[arg-type]
    assert [block.type for block in reply.content] == ["thinking", "text"]
    assert reply.usage.output_tokens_details is not None
    assert (reply.usage.output_tokens, reply.usage.output_tokens_details.thinking_tokens) == (30, 20)
    data = told(events(**asked))  # type: ignore[arg-type]
    deltas = [event["delta"]["type"] for event in data if event["type"] == "content_block_delta" and event["index"] == 0]
    assert deltas == ["thinking_delta"] * 4 + ["signature_delta"]
    thought = "".join(event["delta"].get("thinking", "") for event in data if event["type"] == "content_block_delta")
    assert reply.content[0].type == "thinking"
    assert reply.content[0].thinking == thought


def test_structured_output_is_json_of_the_schema() -> None:
    form = {"format": {"type": "json_schema", "schema": TOOL["input_schema"]}}
    block = plain(output_config=form).content[0]
    assert block.type == "text"
    assert orjson.loads(block.text) == {"city": "filler", "days": 3}
    pieces = [event["delta"]["text"] for event in told(events(output_config=form)) if event["type"] == "content_block_delta"]
    assert "".join(pieces) == block.text


def test_a_stream_of_any_length_is_billed_by_what_it_had_said() -> None:
    text = "[sim output_tokens=12 reasoning_tokens=4]"
    ask = DIALECT.read(body_of(text, stream=True, thinking={"type": "adaptive"}))
    found = DIALECT.events(ask, STAMP)
    for sent in range(len(found.events) + 1):
        words = sum(b'"text_delta"' in event for event in found.events[:sent])
        assert streamed(ask.usage, sent, found.lead, found.span).completion == 4 + words


def test_system_images_and_tool_results_count_in_the_prompt() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    alone, pictured = (
        plain().usage,
        plain(messages=[{"role": "user", "content": [{"type": "text", "text": "hi"}, image]}]).usage,
    )
    assert pictured.input_tokens == alone.input_tokens + 1_600
    assert plain(system=[{"type": "text", "text": "x" * 400, "cache_control": {"type": "ephemeral"}}]).usage.input_tokens > 100


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_tokens": None}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
        ({"metadata": {"run_id": "r"}}, "metadata.run_id: Extra inputs are not permitted"),
        ({"stream_options": {}}, "stream_options: Extra inputs are not permitted"),
        ({"temperature": 1.5}, "temperature: Input should be less than or equal to 1"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages.0.role: Input should be 'user' or 'assistant'"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages.0: all messages must have non-empty content"),
        ({"messages": [ANSWER]}, "messages.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1"),
        (
            {"messages": [CALL, {"role": "user", "content": "x"}]},
            "messages.0: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1",
        ),
        ({"tools": [{"name": "f"}]}, "tools.0.input_schema: Field required"),
        ({"tool_choice": {"type": "any"}}, "tool_choice: may only be specified while providing tools"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, "Tool 'x' not found in provided tools"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 5_000}},
            "`max_tokens` must be greater than `thinking.budget_tokens`",
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1_024}, "temperature": 0.5},
            "`temperature` may only be set to 1 when thinking is enabled",
        ),
    ],
)
def test_a_wrong_body_is_refused_and_still_has_a_shape(fields: dict[str, Any], message: str) -> None:
    body = body_of(**fields)
    with pytest.raises(RefusedError) as refused:
        DIALECT.read(body)
    assert (refused.value.status, refused.value.message) == (400, message)
    assert DIALECT.shape(body).keys == tuple(body)
    error = strict(ErrorResponse, DIALECT.refusal(refused.value, STAMP))
    assert (error.error.type, error.request_id) == ("invalid_request_error", "req_00ff")


def test_a_body_without_max_tokens_is_refused() -> None:
    body = body_of()
    del body["max_tokens"]
    with pytest.raises(RefusedError, match="max_tokens: Field required"):
        DIALECT.read(body)


@pytest.mark.parametrize(
    ("headers", "status"),
    [([], 401), ([(b"X-Api-Key", b"k")], 400), ([(b"anthropic-version", b"2023-06-01")], 401)],
)
def test_a_key_and_a_version_are_wanted(headers: list[tuple[bytes, bytes]], status: int) -> None:
    with pytest.raises(RefusedError) as refused:
        DIALECT.authorize(headers)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, "rate_limit_error"), (500, "api_error"), (503, "api_error"), (504, "timeout_error"), (529, "overloaded_error")],
)
def test_a_failure_has_the_kind_of_its_status(status: int, kind: str) -> None:
    assert strict(ErrorResponse, DIALECT.failure(status, stamp=STAMP)).error.type == kind


def test_models_are_what_the_types_say() -> None:
    page = orjson.loads(DIALECT.models())
    assert [strict(ModelInfo, orjson.dumps(model)).id for model in page["data"]] == list(MODELS)
    with pytest.raises(RefusedError) as refused:
        DIALECT.model("nobody")
    assert refused.value.status == 404
