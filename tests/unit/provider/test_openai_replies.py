"""What the OpenAI dialect writes, read with the official package's own types."""

from __future__ import annotations

from typing import TypeVar

import orjson
import pytest
from jsonschema import Draft202012Validator
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from deploy.local.provider import filler
from deploy.local.provider.dialects import Events, Stamp
from deploy.local.provider.dialects.openai import MODELS, OpenAI
from deploy.local.provider.errors import RefusedError
from deploy.local.provider.invoice import streamed
from deploy.local.provider.toolcalls import call_of

T = TypeVar("T", bound=BaseModel)
STAMP = Stamp(b"00ff", 1_700_000_000)
DIALECT = OpenAI()


def strict(model: type[T], raw: bytes) -> T:
    """The official client builds its models without checking: validate, and refuse what the type does not know."""
    parsed = model.model_validate_json(raw)
    assert not parsed.model_extra
    return parsed


def body_of(**fields: object) -> dict[str, object]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], **fields}


def plain(**fields: object) -> ChatCompletion:
    return strict(ChatCompletion, DIALECT.plain(DIALECT.read(body_of(**fields)), STAMP))


def events(**fields: object) -> Events:
    return DIALECT.events(DIALECT.read(body_of(stream=True, **fields)), STAMP)


def chunks(found: Events) -> list[ChatCompletionChunk]:
    assert found.events[-1] == b"data: [DONE]\n\n"
    for event in found.events:
        assert event.startswith(b"data: ")
        assert event.endswith(b"\n\n")
    return [strict(ChatCompletionChunk, event[6:]) for event in found.events[:-1]]


TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "minLength": 10},
                "unit": {"type": "string", "enum": ["C", "F"]},
                "days": {"type": "integer", "minimum": 3},
                "place": {"$ref": "#/$defs/place"},
                "tags": {"type": "array", "items": {"type": ["null", "string"]}, "minItems": 2},
                "flag": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            },
            "required": ["city", "unit", "days", "place", "tags", "flag"],
            "$defs": {"place": {"type": "object", "properties": {"lat": {"type": "number", "maximum": -2}}}},
        },
    },
}


def test_a_plain_reply_is_what_the_types_say_and_counts_what_it_holds() -> None:
    reply = plain(n=2, metadata={"sim_input_tokens": "9", "sim_output_tokens": "5"})
    assert [len((choice.message.content or "").split()) for choice in reply.choices] == [5, 5]
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (9, 10, 19)


@pytest.mark.parametrize("choices", [1, 3])
def test_a_stream_says_word_for_word_what_the_plain_reply_says(choices: int) -> None:
    whole = plain(n=choices)
    said = [""] * choices
    for chunk in chunks(events(n=choices)):
        for choice in chunk.choices:
            said[choice.index] += choice.delta.content or ""
    assert said == [choice.message.content for choice in whole.choices]


def test_usage_comes_once_in_the_last_chunk_and_only_when_asked() -> None:
    with_usage = chunks(events(stream_options={"include_usage": True}))
    assert with_usage[-1].usage is not None
    assert with_usage[-1].choices == []
    assert all(chunk.usage is None and "usage" in chunk.model_fields_set for chunk in with_usage[:-1])
    assert all("usage" not in chunk.model_fields_set for chunk in chunks(events()))


def test_the_finish_reason_comes_last_of_a_choice_and_tells_a_cap() -> None:
    found = chunks(events(max_tokens=2, metadata={"sim_output_tokens": "3"}))
    assert [chunk.choices[0].finish_reason for chunk in found] == [None, None, None, "length"]


def test_obfuscation_hides_the_length_of_a_word_unless_switched_off() -> None:
    padded = events(metadata={"sim_output_tokens": "20"})
    assert len({len(event) for event in padded.events[1:-2]}) == 1
    bare = chunks(events(stream_options={"include_obfuscation": False}))
    assert all(chunk.obfuscation is None for chunk in bare)


def test_a_stream_of_any_length_is_billed_by_what_it_had_said() -> None:
    asked = body_of(stream=True, n=2, metadata={"sim_output_tokens": "6", "sim_reasoning_tokens": "2"})
    ask = DIALECT.read(asked)
    found = DIALECT.events(ask, STAMP)
    for sent in range(len(found.events) + 1):
        words = sum(b'"content":" ' in event for event in found.events[:sent])
        assert streamed(ask.usage, sent, found.lead, found.span) == (ask.usage.prompt, 0, 4 + words, 4, 0)


def test_a_tool_call_has_arguments_that_its_schema_accepts() -> None:
    call = call_of(TOOL["function"])  # type: ignore[arg-type]
    Draft202012Validator(TOOL["function"]["parameters"]).validate(orjson.loads(call.arguments))  # type: ignore[index]


def test_a_schema_without_end_still_gives_an_end() -> None:
    node = {"type": "object", "properties": {name: {"$ref": "#"} for name in "abcdefgh"}}
    assert orjson.loads(call_of({"name": "f", "parameters": node}).arguments)


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
        {
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "weather"}}]},
            }
        },
        {"metadata": {"sim_tool": "1"}},
        {"messages": [{"role": "user", "content": "Please CALL THE TOOL now"}]},
    ],
)
def test_the_tool_is_called_when_forced_scripted_or_asked_for(fields: dict[str, object]) -> None:
    choice = plain(tools=[TOOL], **fields).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    pieces = [chunk.choices[0].delta.tool_calls for chunk in chunks(events(tools=[TOOL], **fields))]
    calls = [piece[0] for piece in pieces if piece]
    assert calls[0].function is not None
    assert (calls[0].type, calls[0].function.name, calls[0].function.arguments) == ("function", "weather", "")
    streamed_arguments = "".join((call.function and call.function.arguments) or "" for call in calls)
    assert streamed_arguments == choice.message.tool_calls[0].function.arguments  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tool_choice": "none", "metadata": {"sim_tool": "1"}},
        {
            "metadata": {"sim_tool": "1"},
            "messages": [
                {"role": "user", "content": "call the tool"},
                {"role": "assistant", "content": None, "tool_calls": []},
                {"role": "tool", "tool_call_id": "x", "content": "42"},
            ],
        },
    ],
)
def test_a_model_that_is_free_answers_in_text(fields: dict[str, object]) -> None:
    assert plain(tools=[TOOL], **fields).choices[0].message.tool_calls is None


def test_a_capped_tool_call_is_cut_off_like_any_output() -> None:
    choice = plain(tools=[TOOL], tool_choice="required", max_tokens=2).choices[0]
    assert choice.finish_reason == "length"
    assert choice.message.tool_calls is not None
    assert len(choice.message.tool_calls[0].function.arguments) == 8  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, None),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [1]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.content"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
        ({"n": 129}, "n"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {str(key): "" for key in range(17)}}, "metadata"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": ["x"]}}}, "tool_choice"),
        ({"tools": [{"function": {"name": "f", "parameters": {"enum": 5}}}], "tool_choice": "required"}, "tools"),
    ],
)
def test_a_wrong_body_is_refused_and_still_has_a_shape(fields: dict[str, object], param: str | None) -> None:
    body = body_of(**fields)
    with pytest.raises(RefusedError) as refused:
        DIALECT.read(body)
    assert (refused.value.status, refused.value.param) == (400, param)
    assert DIALECT.shape(body).keys == tuple(body)
    assert orjson.loads(DIALECT.refusal(refused.value))["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'{"a":"\xff"}'])
def test_what_is_not_a_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(RefusedError):
        DIALECT.parse(raw)


def test_a_model_that_is_not_listed_is_not_found() -> None:
    assert orjson.loads(DIALECT.model(MODELS[0]))["id"] == MODELS[0]
    with pytest.raises(RefusedError) as refused:
        DIALECT.model("nobody")
    assert refused.value.status == 404


@pytest.mark.parametrize("start", [0, 1, 57, 10_001])
@pytest.mark.parametrize("tokens", [0, 1, 56, 57, 58, 500])
def test_the_filler_has_one_word_a_token_however_it_is_taken(start: int, tokens: int) -> None:
    assert len(filler.text(start, tokens).split()) == tokens
    assert b"".join(filler.tokens(start, tokens)) == filler.text(start, tokens)
