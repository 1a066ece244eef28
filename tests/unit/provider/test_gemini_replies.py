"""What the Gemini dialect reads and writes, held against the fields that the API's reference lists."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from deploy.local.provider.dialects import Events, Stamp
from deploy.local.provider.dialects.gemini import MODELS, Gemini
from deploy.local.provider.errors import RefusedError
from deploy.local.provider.invoice import streamed

STAMP = Stamp(b"00ff", 1_700_000_000, b"")
PLAIN = Gemini("gemini-2.5-flash")
STREAM = Gemini("gemini-2.5-flash", stream=True, query=b"alt=sse")
KNOWN = {
    "": {"candidates", "usageMetadata", "modelVersion", "responseId", "promptFeedback"},
    "candidate": {"content", "finishReason", "index", "safetyRatings", "citationMetadata", "tokenCount", "avgLogprobs"},
    "part": {"text", "thought", "thoughtSignature", "functionCall", "inlineData"},
    "usage": {
        "promptTokenCount", "cachedContentTokenCount", "candidatesTokenCount", "toolUsePromptTokenCount", "thoughtsTokenCount",
        "totalTokenCount", "promptTokensDetails", "cacheTokensDetails", "candidatesTokensDetails",
    },
}  # fmt: skip
FUNCTION: dict[str, Any] = {
    "name": "weather",
    "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}, "days": {"type": "INTEGER", "minimum": 3}}},
}
TOOLS = [{"functionDeclarations": [FUNCTION]}]
CALL = {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {"city": "Bern"}}}]}
ANSWER = {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"result": "call the tool"}}}]}


def said_by(text: str) -> dict[str, Any]:
    return {"role": "user", "parts": [{"text": text}]}


def body_of(text: str = "hi", **fields: object) -> dict[str, Any]:
    return {"contents": [said_by(text)], **fields}


def checked(raw: bytes) -> dict[str, Any]:
    reply: dict[str, Any] = orjson.loads(raw)
    assert set(reply) <= KNOWN[""]
    assert set(reply["usageMetadata"]) <= KNOWN["usage"]
    for candidate in reply["candidates"]:
        assert set(candidate) <= KNOWN["candidate"]
        assert candidate["content"]["role"] == "model"
        for part in candidate["content"].get("parts", []):
            assert set(part) <= KNOWN["part"]
    return reply


def plain(text: str = "hi", **fields: object) -> dict[str, Any]:
    return checked(PLAIN.plain(PLAIN.read(body_of(text, **fields)), STAMP))


def events(text: str = "hi", **fields: object) -> Events:
    return STREAM.events(STREAM.read(body_of(text, **fields)), STAMP)


def told(found: Events) -> list[dict[str, Any]]:
    for event in found.events:
        assert event.startswith(b"data: ")
        assert event.endswith(b"\r\n\r\n")
    return [checked(event[6:]) for event in found.events]


def texts(reply: dict[str, Any]) -> str:
    parts = reply["candidates"][0]["content"].get("parts", [])
    return "".join(part.get("text", "") for part in parts if not part.get("thought"))


def test_candidates_leave_out_thoughts_and_the_prompt_includes_the_cache() -> None:
    reply = plain("[sim input_tokens=900 cached_tokens=500 output_tokens=30 reasoning_tokens=20]")
    usage = reply["usageMetadata"]
    counts = {name: count for name, count in usage.items() if name.endswith("Count")}
    assert counts == {
        "promptTokenCount": 900, "cachedContentTokenCount": 500, "candidatesTokenCount": 10, "thoughtsTokenCount": 20,
        "totalTokenCount": 930,
    }  # fmt: skip
    assert (reply["modelVersion"], reply["responseId"]) == ("gemini-2.5-flash", "00ff")


def test_every_event_is_a_whole_response_whose_usage_grows() -> None:
    data = told(events("[sim output_tokens=10]"))
    assert [reply["usageMetadata"]["candidatesTokenCount"] for reply in data] == [3, 6, 10]
    assert [reply["candidates"][0].get("finishReason") for reply in data] == [None, None, "STOP"]
    assert "".join(texts(reply) for reply in data) == texts(plain("[sim output_tokens=10]"))


def test_a_stream_of_any_length_is_billed_as_its_last_event_counts() -> None:
    config = {"thinkingConfig": {"includeThoughts": True}}
    ask = STREAM.read(body_of("[sim output_tokens=21 reasoning_tokens=4]", generationConfig=config))
    found = STREAM.events(ask, STAMP)
    for sent, reply in enumerate(told(found), start=1):
        usage = reply["usageMetadata"]
        counted = usage.get("candidatesTokenCount", 0) + usage["thoughtsTokenCount"]
        assert streamed(ask.usage, sent, found.lead, found.span).completion == counted


def test_thoughts_are_told_only_when_asked_for() -> None:
    text = "[sim output_tokens=30 reasoning_tokens=20]"
    shown = plain(text, generationConfig={"thinkingConfig": {"includeThoughts": True}})
    assert [part.get("thought", False) for part in shown["candidates"][0]["content"]["parts"]] == [True, False]
    assert len(plain(text)["candidates"][0]["content"]["parts"]) == 1


def test_a_cap_that_thoughts_used_up_leaves_no_parts() -> None:
    text = "[sim output_tokens=30 reasoning_tokens=20]"
    config = {"maxOutputTokens": 15}
    expected = {"content": {"role": "model"}, "finishReason": "MAX_TOKENS", "index": 0}
    assert plain(text, generationConfig=config)["candidates"] == [expected]
    assert [reply["candidates"] for reply in told(events(text, generationConfig=config))] == [[expected]]


@pytest.mark.parametrize(
    "fields",
    [
        {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
        {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}}},
        {"text": "please CALL THE TOOL"},
        {"text": "[sim tool=1]"},
    ],
)
def test_a_function_is_called_when_forced_scripted_or_asked_for(fields: dict[str, Any]) -> None:
    expected = [{"functionCall": {"id": "call_00ff", "name": "weather", "args": {"city": "filler", "days": 3}}}]
    replies = [plain(tools=TOOLS, **fields), *told(events(tools=TOOLS, **fields))]
    for reply in replies:
        assert reply["candidates"][0]["content"]["parts"] == expected
        assert reply["candidates"][0]["finishReason"] == "STOP"


def test_a_function_response_is_answered_in_text() -> None:
    reply = plain(tools=TOOLS, contents=[said_by("call the tool"), CALL, ANSWER])
    assert texts(reply)


@pytest.mark.parametrize("field", ["responseSchema", "responseJsonSchema"])
def test_structured_output_is_json_of_the_schema(field: str) -> None:
    reply = plain(
        generationConfig={"responseMimeType": "application/json", field: {**FUNCTION["parameters"], "type": "object"}}
    )
    assert set(orjson.loads(texts(reply))) == {"city", "days"}


def test_fields_may_be_written_in_either_case() -> None:
    snake = plain("[sim output_tokens=9]", generation_config={"max_output_tokens": 2}, system_instruction=said_by("x"))
    camel = plain("[sim output_tokens=9]", generationConfig={"maxOutputTokens": 2}, systemInstruction=said_by("x"))
    assert snake == camel


def test_images_count_in_the_prompt() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
    pictured = plain(contents=[{"role": "user", "parts": [{"text": "hi"}, image]}])
    assert pictured["usageMetadata"]["promptTokenCount"] == plain()["usageMetadata"]["promptTokenCount"] + 258


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metadata": {}}, 'Invalid JSON payload received. Unknown name "metadata": Cannot find field.'),
        (
            {"generationConfig": {"maxTokens": 5}},
            "Invalid JSON payload received. Unknown name \"maxTokens\" at 'generation_config': Cannot find field.",
        ),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"additionalProperties": False}}]}]},
            'Invalid JSON payload received. Unknown name "additionalProperties" at '
            "'tools[0].function_declarations[0].parameters': Cannot find field.",
        ),
        ({"contents": []}, "* GenerateContentRequest.contents: contents is not specified\n"),
        ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "Please use a valid role: user, model."),
        (
            {"contents": [{"role": "user", "parts": []}]},
            "* GenerateContentRequest.contents[0].parts: contents.parts must not be empty.\n",
        ),
        (
            {"contents": [{"role": "user", "parts": [{}]}]},
            "* GenerateContentRequest.contents[0].parts[0].data: required oneof field 'data' must have one initialized field\n",
        ),
        (
            {"contents": [ANSWER]},
            "Please ensure that the number of function response parts is equal to the number of function call parts of the "
            "function call turn.",
        ),
    ],
)
def test_a_wrong_body_is_refused_and_still_has_a_shape(fields: dict[str, Any], message: str) -> None:
    body = body_of(**fields)
    with pytest.raises(RefusedError) as refused:
        PLAIN.read(body)
    assert (refused.value.status, refused.value.message) == (400, message)
    assert PLAIN.shape(body).keys == tuple(body)
    error = orjson.loads(PLAIN.refusal(refused.value))["error"]
    assert (error["code"], error["status"], error["message"]) == (400, "INVALID_ARGUMENT", message)
    assert error["details"][0]["@type"] == "type.googleapis.com/google.rpc.BadRequest"


@pytest.mark.parametrize(
    ("path", "model", "stream"),
    [
        (b"v1beta/models/gemini-2.5-flash:generateContent", "gemini-2.5-flash", False),
        (b"v1beta/models/gemini-x:streamGenerateContent", "gemini-x", True),
    ],
)
def test_the_path_says_the_model_and_whether_to_stream(path: bytes, model: str, stream: bool) -> None:
    found = Gemini().at(path, b"alt=sse")
    assert found is not None
    ask = found.read(body_of())
    assert (ask.model, ask.stream) == (model, stream)
    assert Gemini().at(b"v1beta/models/gemini-x:countTokens", b"") is None


def test_a_key_is_wanted_in_a_header_or_in_the_query() -> None:
    PLAIN.authorize([(b"X-Goog-Api-Key", b"k")])
    Gemini("m", query=b"alt=sse&key=k").authorize([])
    with pytest.raises(RefusedError) as refused:
        PLAIN.authorize([(b"authorization", b"Bearer k")])
    assert orjson.loads(PLAIN.refusal(refused.value))["error"]["status"] == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("status", "name"),
    [(429, "RESOURCE_EXHAUSTED"), (500, "INTERNAL"), (503, "UNAVAILABLE"), (504, "DEADLINE_EXCEEDED")],
)
def test_a_failure_has_the_name_of_its_status(status: int, name: str) -> None:
    error = orjson.loads(PLAIN.failure(status))["error"]
    assert (error["code"], error["status"]) == (status, name)


def test_models_are_named_as_resources() -> None:
    assert [model["name"] for model in orjson.loads(PLAIN.models())["models"]] == [f"models/{name}" for name in MODELS]
    with pytest.raises(RefusedError) as refused:
        PLAIN.model("nobody")
    assert refused.value.status == 404
