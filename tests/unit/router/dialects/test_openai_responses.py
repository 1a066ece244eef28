"""Chat completions over OpenAI's responses: what goes out, what comes in, and what is refused by name."""

import json
from typing import Any

import orjson
import pytest

from schemas.money import Usage
from services.router.ask import parse_ask
from services.router.clients.responses import Responses
from services.router.dialects.openai_responses import OpenAIResponses
from services.router.dialects.thinking_blocks import sealed
from services.router.errors import StreamMalformedError, UpstreamError

DIALECT, API = OpenAIResponses(), Responses()
PNG = "data:image/png;base64,iVBORw0KGgo="
WEATHER = {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bonn"}'}}
COUNTS = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 13,
}
USAGE = Usage(input_tokens=4, cached_input_tokens=3, cache_write_tokens=2, output_tokens=4, reasoning_tokens=1)
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 5.0,
    "status": "completed",
    "model": "gpt-x",
    "output": [
        {"id": "rs", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {
            "id": "msg",
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}],
        },
    ],
    "usage": COUNTS,
}
FUNCTION = {"id": "fc", "type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"}


def sent(cap: int = 100, **fields: Any) -> dict[str, Any]:
    """The request for the upstream."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    found: dict[str, Any] = json.loads(DIALECT.request_body(parse_ask(orjson.dumps(body)), "gpt-x", cap))
    return found


def refused_param(cap: int = 100, **fields: Any) -> str:
    """The parameter that a refusal names."""
    with pytest.raises(UpstreamError) as refused:
        sent(cap, **fields)
    assert (refused.value.status, refused.value.verdict) == (400, "next")
    param: str = json.loads(refused.value.body)["error"]["param"]
    return param


def test_a_conversation_becomes_items_and_nothing_is_stored() -> None:
    messages = [
        {"role": "system", "content": "be brief"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "JVBERi0="}},
            ],
        },
        {"role": "assistant", "content": "I look", "tool_calls": [CALL, {**CALL, "id": "call_2"}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sun"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "rain"}]},
    ]
    labels: dict[str, Any] = {"user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "metadata": {"run_id": "r"}}
    assert sent(messages=messages, max_tokens=5, stream=True, temperature=0.5, top_p=1, **labels) == {
        "model": "gpt-x",
        "max_output_tokens": 100,
        "store": False,
        "stream": True,
        "temperature": 0.5,
        "top_p": 1,
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "input": [
            {"role": "system", "content": "be brief"},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "look"},
                    {"type": "input_image", "image_url": PNG, "detail": "low"},
                    {"type": "input_file", "filename": "a.pdf", "file_data": "JVBERi0="},
                ],
            },
            {"role": "assistant", "content": "I look"},
            {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Bonn"}'},
            {"type": "function_call", "call_id": "call_2", "name": "weather", "arguments": '{"city":"Bonn"}'},
            {"type": "function_call_output", "call_id": "call_1", "output": "sun"},
            {"type": "function_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "rain"}]},
        ],
    }


def test_tools_structure_and_reasoning_have_their_own_places() -> None:
    schema = {"type": "object", "properties": {}}
    request = sent(
        tools=[{"type": "function", "function": WEATHER}, {"type": "function", "function": {"name": "now", "strict": True}}],
        tool_choice={"type": "function", "function": {"name": "now"}},
        parallel_tool_calls=False,
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": True}},
        verbosity="low",
        reasoning_effort="low",
        logprobs=True,
        top_logprobs=2,
    )
    assert request["tools"] == [
        {"type": "function", **WEATHER, "strict": False},
        {"type": "function", "name": "now", "parameters": schema, "strict": True},
    ]
    assert (request["tool_choice"], request["parallel_tool_calls"]) == ({"type": "function", "name": "now"}, False)
    form = {"type": "json_schema", "name": "a", "schema": schema, "strict": True}
    assert request["text"] == {"format": form, "verbosity": "low"}
    assert request["reasoning"] == {"effort": "low"}
    assert (request["include"], request["top_logprobs"]) == (["message.output_text.logprobs"], 2)
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "now"}}]}
    assert sent(tool_choice={"type": "allowed_tools", "allowed_tools": allowed})["tool_choice"] == {
        "type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "now"}],
    }  # fmt: skip
    assert sent(response_format={"type": "json_object"})["text"] == {"format": {"type": "json_object"}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"stop": "x"}, "stop"),
        ({"n": 2}, "n"),
        ({"seed": 1}, "seed"),
        ({"frequency_penalty": 1}, "frequency_penalty"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"something_new": 1}, "something_new"),
        ({"tools": [{"type": "custom"}]}, "tools.0"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "messages.0.content.0"),
        ({"cap": 15}, "max_tokens"),
    ],
)
def test_what_has_no_meaning_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    assert refused_param(**fields) == param


def test_the_clients_own_response_passes_with_the_holds_cap_and_is_never_stored() -> None:
    asked = {
        "model": "m",
        "input": "hi",
        "something_new": {"x": 1},
        "metadata": {"run_id": "r", "a": "b"},
        "tools": [{"type": "custom", "name": "c"}],
    }
    assert json.loads(DIALECT.request_body(API.parse(orjson.dumps(asked)), "gpt-x", 40)) == {
        **asked, "model": "gpt-x", "max_output_tokens": 40, "store": False, "metadata": {"a": "b"},
    }  # fmt: skip


def test_what_other_providers_wrote_into_items_is_not_sent_back_to_this_one() -> None:
    asked = [
        {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": sealed([{"type": "thinking"}])},
        {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "gAAAA"},
        {"type": "function_call", "call_id": "c", "name": "w", "arguments": "{}", "extra_content": {"google": {}}},
    ]
    body = orjson.dumps({"model": "m", "input": asked})
    request = json.loads(DIALECT.request_body(API.parse(body), "gpt-x", 40))
    assert request["input"] == [asked[1], {"type": "function_call", "call_id": "c", "name": "w", "arguments": "{}"}]


def read(**fields: Any) -> Any:
    """The first choice of a reply, and the reply."""
    reply = DIALECT.read_reply(orjson.dumps({**RESPONSE, **fields}))
    return reply.document["choices"][0], reply


def test_a_reply_has_its_text_its_reasoning_and_every_class_of_token() -> None:
    choice, reply = read()
    assert choice == {
        "index": 0,
        "message": {"role": "assistant", "content": "Hello", "reasoning_content": "hm"},
        "finish_reason": "stop",
        "logprobs": None,
    }
    assert (reply.usage, reply.upstream_id, reply.model, reply.spoken) == (USAGE, "resp_1", "gpt-x", "responses")
    assert reply.native == RESPONSE


def test_calls_refusals_and_log_probabilities_are_read() -> None:
    told = [{"token": "No", "logprob": -1, "bytes": None, "top_logprobs": []}]
    parts = [{"type": "refusal", "refusal": "No."}]
    choice, _ = read(output=[{"type": "message", "content": parts}, FUNCTION])
    assert (choice["message"]["refusal"], choice["message"]["content"], choice["finish_reason"]) == ("No.", None, "tool_calls")
    assert choice["message"]["tool_calls"] == [{**CALL, "function": {"name": "weather", "arguments": "{}"}}]
    text = {"type": "output_text", "text": "No", "logprobs": told}
    assert read(output=[{"type": "message", "content": [text]}])[0]["logprobs"] == {"content": told, "refusal": None}


@pytest.mark.parametrize(
    ("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter"), (None, "length")]
)
def test_a_reply_that_is_incomplete_says_why(reason: str | None, finish: str) -> None:
    assert read(status="incomplete", incomplete_details={"reason": reason})[0]["finish_reason"] == finish


@pytest.mark.parametrize(("code", "error_class"), [("server_error", "upstream_error"), ("rate_limit_exceeded", "rate_limited")])
def test_a_response_that_failed_is_a_failed_attempt_with_what_it_burned(code: str, error_class: str) -> None:
    with pytest.raises(UpstreamError) as failure:
        read(status="failed", error={"code": code, "message": "m"})
    assert (failure.value.error_class, failure.value.verdict) == (error_class, "retry")
    assert (failure.value.usage, failure.value.upstream_id) == (USAGE, "resp_1")


@pytest.mark.parametrize(
    "fields", [{"output": None}, {"output": [{}]}, {"status": None}, {"model": None, "output": 5}, {"created_at": None}]
)
def test_a_reply_that_is_no_response_is_malformed_and_still_says_what_it_burned(fields: dict[str, Any]) -> None:
    with pytest.raises(UpstreamError) as failure:
        read(**fields)
    assert failure.value.usage == USAGE


@pytest.mark.parametrize(
    "usage", [None, [], {"input_tokens": 9}, {**COUNTS, "input_tokens": 4}, {**COUNTS, "output_tokens": -1}]
)
def test_a_usage_that_contradicts_itself_is_none(usage: Any) -> None:
    assert read(usage=usage)[1].usage is None


def stream_of(*events: dict[str, Any]) -> bytes:
    """Events as an upstream sends them."""
    numbered = [{**event, "sequence_number": number} for number, event in enumerate(events)]
    return b"".join([b"event: %b\ndata: %b\n\n" % (each["type"].encode(), orjson.dumps(each)) for each in numbered])


def added(place: int, item: dict[str, Any]) -> dict[str, Any]:
    """The start of an item."""
    return {"type": "response.output_item.added", "output_index": place, "item": item}


BEGUN = {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": [], "usage": None}}
TOLD = (
    BEGUN,
    added(0, {"type": "reasoning", "id": "rs", "summary": []}),
    {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "hm"},
    added(1, {"type": "message", "id": "msg", "content": []}),
    {"type": "response.output_text.delta", "output_index": 1, "delta": "Hel", "logprobs": []},
    {"type": "response.output_text.delta", "output_index": 1, "delta": "lo", "logprobs": []},
    added(2, {**FUNCTION, "arguments": ""}),
    {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '{"a"'},
    {"type": "response.function_call_arguments.done", "output_index": 2, "arguments": '{"a":1}'},
)
ENDED = {"type": "response.completed", "response": RESPONSE}


def chunks_of(data: bytes) -> list[Any]:
    """The deltas and finish reasons in a stream of chunks."""
    lines = [line[6:] for line in data.split(b"\n\n") if line.startswith(b"data: {")]
    return [choice for line in lines for choice in json.loads(line)["choices"]]


def test_a_stream_is_read_as_chunks_and_its_end_is_held_back() -> None:
    stream = DIALECT.stream(1, 1000)
    choices = chunks_of(stream.feed(stream_of(*TOLD, ENDED)))
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "hm"},
        {"content": "Hel"},
        {"content": "lo"},
        {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
    ]
    assert (stream.done, stream.complete, stream.usage, stream.upstream_id) == (True, True, USAGE, "resp_1")
    [end] = chunks_of(stream.ending(USAGE, {}, include_usage=False))
    assert end["finish_reason"] == "tool_calls"


def test_a_stream_that_has_only_been_created_may_still_be_asked_elsewhere() -> None:
    stream = DIALECT.stream(1, 1000)
    failed = {**RESPONSE, "status": "failed", "error": {"code": "server_error", "message": "m"}}
    assert stream.feed(stream_of(BEGUN, {"type": "response.in_progress", "response": {}})) == b""
    assert not stream.started
    assert stream.feed(stream_of({"type": "response.failed", "response": failed})) == b""
    assert (stream.started, stream.error and stream.error["code"], stream.usage) == (False, "server_error", USAGE)


@pytest.mark.parametrize("error", [{"code": "c", "message": "m"}, {"error": {"code": "c", "message": "m"}}])
def test_an_error_event_ends_the_stream(error: dict[str, Any]) -> None:
    stream = DIALECT.stream(1, 1000)
    stream.feed(stream_of(*TOLD, {"type": "error", **error}))
    assert stream.error == {"code": "c", "message": "m"}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.output_text.delta"},
        {"type": "response.completed"},
        {"type": "response.function_call_arguments.delta", "output_index": 9, "delta": "x"},
        {"type": 5},
    ],
)
def test_an_event_that_cannot_be_read_is_malformed(event: dict[str, Any]) -> None:
    stream = DIALECT.stream(1, 1000)
    data = b"data: " + orjson.dumps(event) + b"\n\n"
    with pytest.raises(StreamMalformedError):
        stream.feed(stream_of(*TOLD) + data)


def native(most_tokens: int = 1000) -> Any:
    """A client of responses at such a stream."""
    return API.stream(API.parse(b'{"model":"m","input":"hi"}'), DIALECT.stream(1, most_tokens))


def events_of(data: bytes) -> list[Any]:
    """The events in bytes."""
    return [json.loads(line[6:]) for line in data.split(b"\n") if line.startswith(b"data: ")]


COST = {"cost": "0.5", "currency": "USD", "bucket": "credit"}


def test_a_client_of_responses_gets_the_providers_own_events_and_the_cost_in_the_last() -> None:
    stream = native()
    other = {"type": "response.custom_tool_call_input.delta", "output_index": 3, "delta": "ls"}
    told = events_of(stream.feed(stream_of(*TOLD, other, ENDED)))
    assert told == [{**event, "sequence_number": number} for number, event in enumerate([*TOLD, other])]
    assert stream.tokens_seen == 7
    [end] = events_of(stream.ending(USAGE, COST, include_usage=False))
    assert (end["type"], end["sequence_number"]) == ("response.completed", len(told))
    assert end["response"] == {**RESPONSE, "usage": {**COUNTS, **COST}}


def test_nothing_after_the_end_counts() -> None:
    stream = native()
    again = {**ENDED, "response": {**RESPONSE, "usage": {**COUNTS, "output_tokens": 9_000}}}
    stream.feed(stream_of(*TOLD, ENDED, again))
    [end] = events_of(stream.ending(USAGE, COST, include_usage=False))
    assert end["response"]["usage"]["output_tokens"] == 4
    assert stream.usage == USAGE


def test_a_stream_of_the_providers_own_events_stops_at_its_cap() -> None:
    stream = native(most_tokens=2)
    told = events_of(stream.feed(stream_of(*TOLD, ENDED)))
    assert stream.capped
    assert [event["type"] for event in told][-1] == "response.output_text.delta"
    [end] = events_of(stream.ending(USAGE, COST, include_usage=False, capped=True))
    assert (end["type"], end["response"]["incomplete_details"]) == (
        "response.incomplete", {"reason": "max_output_tokens"},
    )  # fmt: skip
    assert (end["response"]["id"], end["response"]["usage"]["cost"]) == ("resp_1", "0.5")


def test_a_stream_of_the_providers_own_events_that_breaks_ends_as_failed() -> None:
    stream = native()
    told = events_of(stream.feed(stream_of(*TOLD)))
    with pytest.raises(StreamMalformedError):
        stream.feed(stream_of(TOLD[4]) + b"data: x\n\n")
    [end] = events_of(stream.failure({"error": {"message": "It broke.", "code": "malformed_reply"}}))
    assert (end["type"], end["sequence_number"], end["response"]["error"]["type"]) == (
        "response.failed", len(told), "malformed_reply",
    )  # fmt: skip
