"""Chat completions over Gemini's generateContent: what goes out, what comes in, and what is refused by name."""

import json
from typing import Any

import orjson
import pytest

from schemas.money import Usage
from services.router.ask import parse_ask
from services.router.dialects.gemini import Gemini
from services.router.errors import StreamMalformedError, UpstreamError
from tests.unit.router.dialects.test_anthropic import CALL, PNG, WEATHER, chunks_of

DIALECT = Gemini(clock=lambda: 1_700_000_000)


def sent(cap: int = 100, **fields: Any) -> dict[str, Any]:
    """The request for the upstream."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    found: dict[str, Any] = json.loads(DIALECT.request_body(parse_ask(orjson.dumps(body)), "gemini-x", cap))
    return found


def test_the_model_is_in_the_path_and_the_key_is_not() -> None:
    assert DIALECT.path("gemini-x", stream=False) == "/models/gemini-x:generateContent"
    assert DIALECT.path("a/b", stream=True) == "/models/a%2Fb:streamGenerateContent?alt=sse"
    assert DIALECT.headers("k")["x-goog-api-key"] == "k"


def test_a_request_brings_its_cap_and_its_system_apart() -> None:
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yo"},
    ]
    request = sent(messages=messages, temperature=1.5, top_p=0.5, seed=7, stop=["x"], presence_penalty=1, n=2, stream=True)
    assert request == {
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}, {"role": "model", "parts": [{"text": "yo"}]}],
        "generationConfig": {
            "maxOutputTokens": 100,
            "temperature": 1.5,
            "topP": 0.5,
            "seed": 7,
            "stopSequences": ["x"],
            "presencePenalty": 1,
            "candidateCount": 2,
        },
    }


def test_a_tools_answer_is_known_by_the_functions_name() -> None:
    call = {**CALL, "extra_content": {"google": {"thought_signature": "sig"}}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": '{"sky": "blue"}'},
    ]
    contents = sent(messages=messages)["contents"]
    assert contents[1] == {
        "role": "model",
        "parts": [{"functionCall": {"name": "weather", "args": {"city": "Bonn"}}, "thoughtSignature": "sig"}],
    }
    assert contents[2]["parts"] == [{"functionResponse": {"name": "weather", "response": {"sky": "blue"}}}]
    for text, response in (("sun", {"result": "sun"}), ("[1]", {"result": [1]})):
        messages[2]["content"] = text
        assert sent(messages=messages)["contents"][2]["parts"][0]["functionResponse"]["response"] == response


def test_tools_structured_output_and_thinking() -> None:
    tools = [{"type": "function", "function": WEATHER}]
    request = sent(tools=tools, tool_choice={"type": "function", "function": {"name": "weather"}}, reasoning_effort="low")
    declared = {"name": "weather", "description": "the weather", "parametersJsonSchema": WEATHER["parameters"]}
    assert request["tools"] == [{"functionDeclarations": [declared]}]
    assert request["toolConfig"] == {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}}
    assert request["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 1024}
    schema = {"type": "object"}
    wish = {"type": "json_schema", "json_schema": {"schema": schema}}
    config = sent(response_format=wish)["generationConfig"]
    assert (config["responseMimeType"], config["responseJsonSchema"]) == ("application/json", schema)
    assert "responseJsonSchema" not in sent(response_format={"type": "json_object"})["generationConfig"]


def test_images_files_and_sound_come_along_as_data() -> None:
    content = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "file", "file": {"file_data": PNG}},
        {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
    ]
    parts = sent(messages=[{"role": "user", "content": content}])["contents"][0]["parts"]
    assert [part["inlineData"]["mimeType"] for part in parts] == ["image/png", "application/pdf", "audio/wav"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"temperature": 3}, "temperature"),
        ({"reasoning_effort": 1}, "reasoning_effort"),
        ({"some_new_thing": 1}, "some_new_thing"),
        ({"messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]}, "messages.0.tool_call_id"),
        ({"messages": [{"role": "function", "content": "y"}]}, "messages.0.role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.org/a"}}]}]},
            "messages.0.content.0",
        ),
    ],
)
def test_what_has_no_meaning_is_refused_by_its_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(UpstreamError) as refused:
        sent(**fields)
    assert (refused.value.status, json.loads(refused.value.body)["error"]["param"]) == (400, param)


def answer(*parts: dict[str, Any], reason: str | None = "STOP", **fields: Any) -> dict[str, Any]:
    """A document with one candidate."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    usage = {"promptTokenCount": 20, "cachedContentTokenCount": 5, "candidatesTokenCount": 7, "thoughtsTokenCount": 3}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-x", "responseId": "r1", **fields}


def test_an_answer_is_a_chat_completion() -> None:
    reply = DIALECT.read_reply(orjson.dumps(answer({"text": "hm", "thought": True}, {"text": "Hel"}, {"text": "lo"})))
    assert reply.usage == Usage(input_tokens=15, cached_input_tokens=5, output_tokens=10, reasoning_tokens=3)
    assert (reply.upstream_id, reply.model) == ("r1", "gemini-x")
    choice = reply.document["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "Hello", "reasoning_content": "hm"}
    assert choice["finish_reason"] == "stop"


def test_calls_get_ids_of_their_own_and_keep_their_signature() -> None:
    part = {"functionCall": {"name": "weather", "args": {"city": "Bonn"}}, "thoughtSignature": "sig"}
    choice = DIALECT.read_reply(orjson.dumps(answer(part, part))).document["choices"][0]
    calls = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert len({call["id"] for call in calls}) == 2
    messages = [{"role": "user", "content": "x"}, choice["message"]]
    assert sent(messages=messages)["contents"][1]["parts"] == [part, part]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("OTHER", "stop"), ("SPII", "content_filter")],
)
def test_finish_reasons(reason: str, finish: str) -> None:
    reply = DIALECT.read_reply(orjson.dumps(answer({"text": "x"}, reason=reason)))
    assert reply.document["choices"][0]["finish_reason"] == finish


def test_a_blocked_prompt_is_an_answer_that_says_nothing() -> None:
    document = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9}}
    reply = DIALECT.read_reply(orjson.dumps(document))
    assert reply.document["choices"][0]["finish_reason"] == "content_filter"
    assert reply.usage == Usage(input_tokens=9)


@pytest.mark.parametrize(
    "document", [{}, {"candidates": []}, answer({"text": 1}), answer(reason=None), {"candidates": [3]}, []]
)
def test_an_answer_that_is_none_is_malformed(document: Any) -> None:
    with pytest.raises(UpstreamError) as malformed:
        DIALECT.read_reply(orjson.dumps(document))
    assert malformed.value.error_class == "malformed_reply"


def events(*documents: dict[str, Any]) -> bytes:
    """Server-sent events; Gemini ends its lines with both."""
    return b"".join(b"data: %s\r\n\r\n" % orjson.dumps(document) for document in documents)


STREAM = events(
    answer({"text": "Hel"}, reason=None),
    answer({"text": "lo"}, reason=None),
    answer({"functionCall": {"name": "weather", "args": {"city": "Bonn"}}}),
)


@pytest.mark.parametrize("size", [1, 9, 10**6])
def test_a_stream_reads_the_same_however_it_is_cut(size: int) -> None:
    stream = DIALECT.stream(1, 1000)
    passed = b"".join([stream.feed(STREAM[at : at + size]) for at in range(0, len(STREAM), size)])
    assert (stream.complete, stream.ended) == (True, True)
    assert stream.usage == Usage(input_tokens=15, cached_input_tokens=5, output_tokens=10, reasoning_tokens=3)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks_of(passed)]
    assert "".join(each.get("content") or "" for each in deltas) == "Hello"
    assert [each["tool_calls"][0]["function"]["name"] for each in deltas if "tool_calls" in each] == ["weather"]
    tail = stream.ending(stream.usage, {"cost": "1"}, include_usage=False)
    assert chunks_of(tail)[0]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_stream_without_its_last_word_is_not_complete() -> None:
    stream = DIALECT.stream(1, 1000)
    stream.feed(events(answer({"text": "Hel"}, reason=None)))
    # What a broken stream is charged for its prompt is what Gemini told on the way.
    assert (stream.complete, stream.ended) == (False, False)
    assert (stream.usage, stream.prompt) == (None, Usage(input_tokens=15, cached_input_tokens=5))


def test_errors_are_told_in_openais_shape() -> None:
    body = orjson.dumps([{"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}])
    failure = DIALECT.failure_of(400, body, None)
    assert (failure.error_class, json.loads(failure.body)["error"]["message"]) == ("invalid_request", "bad")
    assert (
        DIALECT.failure_of(429, b'{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}', 3.0).retry_after_s == 3.0
    )
    stream = DIALECT.stream(1, 1000)
    stream.feed(events({"error": {"code": 503, "message": "busy"}}))
    assert stream.error is not None


def test_an_error_that_tells_its_usage_is_heard() -> None:
    burned = {"promptTokenCount": 9, "candidatesTokenCount": 7}
    body = {"error": {"code": 500, "message": "no", "status": "INTERNAL"}, "usageMetadata": burned}
    assert DIALECT.failure_of(500, orjson.dumps(body), None).usage == Usage(input_tokens=9, output_tokens=7)


def spoken(words: int, told: int, **candidate: Any) -> bytes:
    content = {"role": "model", "parts": [{"text": " word" * words}]}
    usage = {"promptTokenCount": 9, "candidatesTokenCount": told}
    document = {"candidates": [{"content": content, "index": 0, **candidate}], "usageMetadata": usage, "responseId": "r"}
    return b"data: " + orjson.dumps(document) + b"\r\n\r\n"


def test_an_upstream_that_ignores_its_cap_is_cut_by_its_own_count() -> None:
    stream = DIALECT.stream(1, 50)
    out = stream.feed(b"".join(spoken(20, told) for told in (20, 40, 60, 80)))
    assert (out.count(b" word"), stream.capped, stream.tokens_seen) == (60, True, 60)


def test_a_stream_that_ends_at_its_cap_is_whole() -> None:
    stream = DIALECT.stream(1, 50)
    stream.feed(spoken(25, 25) + spoken(25, 50, finishReason="MAX_TOKENS"))
    assert (stream.complete, stream.capped, stream.usage) == (True, False, Usage(input_tokens=9, output_tokens=50))


def test_what_comes_with_a_malformed_event_is_not_counted() -> None:
    stream = DIALECT.stream(1, 50)
    stream.feed(spoken(4, 4))
    with pytest.raises(StreamMalformedError):
        stream.feed(spoken(4, 8) + b"data: {\r\n\r\n")
    assert stream.tokens_seen == 4


@pytest.mark.parametrize(
    ("details", "header_s", "waits_s"),
    [
        ([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}], None, 34.5),
        ([{"@type": "type.googleapis.com/google.rpc.QuotaFailure"}, {"retryDelay": "7s"}], None, 7.0),
        ([{"retryDelay": "7s"}], 3.0, 3.0),
        ([{"retryDelay": "soon"}], None, None),
        ([{"retryDelay": 7}], None, None),
        (["retryDelay"], None, None),
        ("none", None, None),
        (None, None, None),
    ],
)
def test_the_wait_that_an_error_asks_for_is_read_from_its_body(
    details: object, header_s: float | None, waits_s: float | None
) -> None:
    body = orjson.dumps({"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": details}})
    assert DIALECT.failure_of(429, body, header_s).retry_after_s == waits_s
    assert DIALECT.failure_of(429, b"[" + body + b"]", header_s).retry_after_s == waits_s
