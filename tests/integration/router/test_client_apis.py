"""One request in each API that clients speak, over each provider's wire format: the same answer for the same charge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from schemas.calls import TOKENS_COMMENT, TOKENS_HEADER
from schemas.money import Usage, charge_nano, format_amount
from tests.integration.router.rig import CHAT, Asker, Reply, Rig
from tests.integration.router.speakers import DIALECTS, PRICES, PROMPT, SPEAKING, STREAMS, TOOLS, tell

EMBEDDINGS, RESPONSES = "/internal/v1/embeddings", "/internal/v1/responses"


@STREAMS
async def test_anthropics_clients_get_the_same_message_for_the_same_charge_over_each_dialect(
    speakers: Rig, asker: Asker, *, stream: bool
) -> None:
    script = "[sim input_tokens=90 cached_tokens=30 output_tokens=12]"
    expected = Usage(input_tokens=60, cached_input_tokens=30, output_tokens=12)
    told = []
    for dialect in DIALECTS:
        lane = speakers.lane(prefix=dialect)
        body: dict[str, Any] = {"max_tokens": 50, "system": "Be brief.", "stream": stream}
        request_id, reply = await asker.ask(
            lane, path="/internal/v1/messages", messages=[{"role": "user", "content": PROMPT + script}], **body
        )
        assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.main), reply.body
        text, stop_reason, usage = native_message_of(reply, stream=stream)
        data = (await tell(speakers, request_id)).completed
        assert (data.attempts[0].usage, data.cost_nano) == (expected, charge_nano(PRICES, expected))
        assert usage["cost"] == format_amount(data.cost_nano or 0)
        told.append((text, stop_reason, usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]))
    assert all(each == told[0] for each in told)
    assert told[0][1:] == ("end_turn", 60, 30, 12)


def native_message_of(reply: Reply, *, stream: bool) -> tuple[str, str, dict[str, Any]]:
    """(text, stop reason, usage) of a message, plain or put together from its events."""
    if not stream:
        return reply.json["content"][0]["text"], reply.json["stop_reason"], reply.json["usage"]
    lines = [line for line in reply.body.split(b"\n") if line.startswith(b"data:")]
    events = [orjson.loads(line.removeprefix(b"data:")) for line in lines]
    text = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
    [end] = [event for event in events if event["type"] == "message_delta"]
    return text, end["delta"]["stop_reason"], end["usage"]


@STREAMS
@pytest.mark.parametrize("path", [CHAT, "/internal/v1/messages", RESPONSES])
async def test_edge_is_told_beside_each_reply_how_many_tokens_it_took(
    speakers: Rig, asker: Asker, path: str, *, stream: bool
) -> None:
    text = f"{PROMPT}[sim input_tokens=90 cached_tokens=30 output_tokens=12]"
    asked: dict[str, Any] = {"input": text} if path == RESPONSES else {"messages": [{"role": "user", "content": text}]}
    if path == "/internal/v1/messages":
        asked["max_tokens"] = 50
    for dialect, tell_tokens in [(dialect, tell_tokens) for dialect in DIALECTS for tell_tokens in (True, False)]:
        lane = replace(speakers.lane(prefix=dialect), tell_tokens=tell_tokens)
        _, reply = await asker.ask(lane, path=path, stream=stream, **asked)
        lines = reply.body.split(b"\n")
        told = [number for number, line in enumerate(lines) if line.startswith(TOKENS_COMMENT.encode())]
        if not stream:
            assert (reply.headers[TOKENS_HEADER], told) == ("102", [])
        elif tell_tokens:
            assert [lines[number] for number in told] == [f"{TOKENS_COMMENT}102".encode()]
            assert lines[told[0] - 1] == b""
            assert b"".join(lines[told[0] + 1 :])
        else:
            assert told == []


async def test_a_thinking_message_passes_natively_to_a_provider_of_the_same_format(speakers: Rig, asker: Asker) -> None:
    lane = speakers.lane(prefix="anthropic")
    script = "[sim input_tokens=90 output_tokens=30 reasoning_tokens=20]"
    request_id, reply = await asker.ask(
        lane,
        path="/internal/v1/messages",
        max_tokens=4_096,
        thinking={"type": "enabled", "budget_tokens": 1_024},
        messages=[{"role": "user", "content": PROMPT + script}],
    )
    assert [block["type"] for block in reply.json["content"]] == ["thinking", "text"]
    assert reply.json["content"][0]["signature"]
    usage = (await tell(speakers, request_id)).completed.attempts[0].usage
    assert usage == Usage(input_tokens=90, output_tokens=30, reasoning_tokens=20)


@STREAMS
async def test_responses_clients_get_the_same_response_for_the_same_charge_over_each_dialect(
    speakers: Rig, asker: Asker, *, stream: bool
) -> None:
    script = "[sim input_tokens=90 cached_tokens=30 output_tokens=12 reasoning_tokens=5]"
    expected = Usage(input_tokens=60, cached_input_tokens=30, output_tokens=12, reasoning_tokens=5)
    told = []
    for dialect in DIALECTS:
        lane = speakers.lane(prefix=dialect)
        body: dict[str, Any] = {"instructions": "Be brief.", "input": PROMPT + script, "max_output_tokens": 50}
        request_id, reply = await asker.ask(lane, path=RESPONSES, stream=stream, **body)
        assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.main), reply.body
        response = response_of(reply, stream=stream)
        completed = (await tell(speakers, request_id)).completed
        assert (completed.client_api, completed.attempts[0].usage) == ("responses", expected)
        assert completed.cost_nano == charge_nano(PRICES, expected)
        usage = response["usage"]
        assert usage["cost"] == format_amount(completed.cost_nano or 0)
        [message] = [item for item in response["output"] if item["type"] == "message"]
        told.append((message["content"][0]["text"], response["status"], usage["input_tokens"], usage["output_tokens"]))
        assert usage["input_tokens_details"]["cached_tokens"] == 30
        assert usage["output_tokens_details"]["reasoning_tokens"] == 5
    assert len(set(told)) == 1
    assert told[0][1:] == ("completed", 90, 12)


def response_of(reply: Reply, *, stream: bool) -> dict[str, Any]:
    """The response of a plain reply, or the one with which a stream ends."""
    if not stream:
        found: dict[str, Any] = reply.json
        return found
    lines = [line for line in reply.body.split(b"\n") if line.startswith(b"data: ")]
    events = [orjson.loads(line.removeprefix(b"data: ")) for line in lines]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert (events[0]["type"], events[-1]["type"]) == ("response.created", f"response.{events[-1]['response']['status']}")
    final: dict[str, Any] = events[-1]["response"]
    return final


@STREAMS
@SPEAKING
async def test_a_tool_loop_of_responses_goes_on_over_each_dialect(
    speakers: Rig, asker: Asker, dialect: str, *, stream: bool
) -> None:
    lane = speakers.lane(prefix=dialect)
    tools = [{"type": "function", **TOOLS[0]["function"]}]
    asked: list[Any] = [{"role": "user", "content": PROMPT}]
    _, first = await asker.ask(lane, path=RESPONSES, input=asked, tools=tools, tool_choice="required", stream=stream)
    assert first.status == 200, first.body
    output = response_of(first, stream=stream)["output"]
    [call] = [item for item in output if item["type"] == "function_call"]
    assert (call["name"], "city" in orjson.loads(call["arguments"])) == ("weather", True)
    asked += [*output, {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}]
    _, reply = await asker.ask(lane, path=RESPONSES, input=asked, tools=tools, stream=stream)
    assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.main), reply.body
    assert [item["type"] for item in response_of(reply, stream=stream)["output"]] == ["message"]


@SPEAKING
async def test_a_schema_and_an_image_of_a_response_pass_over_each_dialect(speakers: Rig, asker: Asker, dialect: str) -> None:
    lane = speakers.lane(prefix=dialect)
    schema = TOOLS[0]["function"]["parameters"]
    image = {"type": "input_image", "image_url": "data:image/png;base64,aGk="}
    asked = [{"role": "user", "content": [{"type": "input_text", "text": PROMPT}, image]}]
    text = {"format": {"type": "json_schema", "name": "weather", "schema": schema, "strict": True}}
    _, reply = await asker.ask(lane, path=RESPONSES, input=asked, text=text)
    assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.main), reply.body


@pytest.mark.parametrize("dialect", ["openai", "openai-responses"])
async def test_a_stream_of_a_response_that_breaks_ends_as_failed(speakers: Rig, asker: Asker, dialect: str) -> None:
    lane = speakers.lane(prefix=dialect)
    speakers.script(lane.main, {"kind": "cut", "after_chunks": 6})
    script = "[sim output_tokens=400 chunk_ms=20]"
    request_id, reply = await asker.ask(lane, path=RESPONSES, input=PROMPT + script, stream=True)
    response = response_of(reply, stream=True)
    assert (response["status"], response["error"]["type"]) == ("failed", "stream_cut")
    assert (await tell(speakers, request_id)).completed.charged_attempt == 1


@STREAMS
async def test_what_only_responses_can_say_passes_to_a_provider_that_speaks_them(
    speakers: Rig, asker: Asker, *, stream: bool
) -> None:
    asked: dict[str, Any] = {"input": PROMPT, "tools": [{"type": "custom", "name": "shell"}], "truncation": "auto"}
    lane = speakers.lane(prefix="openai-responses")
    _, reply = await asker.ask(lane, path=RESPONSES, stream=stream, **asked)
    assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.main), reply.body
    response = response_of(reply, stream=stream)
    assert (response["status"], "cost" in response["usage"]) == ("completed", True)
    assert {"tools", "truncation"} <= set(speakers.asked(lane.main)[-1]["keys"])
    for dialect in ("openai", "anthropic", "gemini"):
        other = speakers.lane(prefix=dialect)
        _, refused = await asker.ask(other, path=RESPONSES, stream=stream, **asked)
        assert (refused.status, refused.json["error"]["param"]) == (400, "tools.0")
        assert speakers.stats(other.main)["requests"] == 0


async def test_what_a_provider_of_responses_does_not_know_is_its_own_refusal(speakers: Rig, asker: Asker) -> None:
    lane = speakers.lane(prefix="openai-responses")
    _, reply = await asker.ask(lane, path=RESPONSES, input=PROMPT, something_new=1)
    assert (reply.status, reply.json["error"]["code"], reply.json["error"]["param"]) == (
        400, "unknown_parameter", "something_new",
    )  # fmt: skip


@STREAMS
async def test_a_response_whose_upstream_ignores_its_cap_is_incomplete_and_paid_for_the_cap_at_most(
    speakers: Rig, asker: Asker, *, stream: bool
) -> None:
    lane = speakers.lane(prefix="openai-responses")
    script = "[sim input_tokens=90 output_tokens=300 ignore_cap=1]"
    request_id, reply = await asker.ask(lane, path=RESPONSES, input=PROMPT + script, max_output_tokens=50, stream=stream)
    data = (await tell(speakers, request_id)).completed
    assert data.cost_nano is not None
    if stream:
        response = response_of(reply, stream=True)
        assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
        assert (response["usage"]["output_tokens"], data.attempts[0].usage.output_tokens) == (50, 50)


async def test_embeddings_are_the_same_for_the_same_charge_over_each_dialect_that_has_them(speakers: Rig, asker: Asker) -> None:
    texts = ["hello there", "[sim input_tokens=90]"]
    told = []
    for dialect in ("openai", "openai-responses", "gemini"):
        lane = speakers.lane(prefix=f"{dialect}-embed")
        request_id, reply = await asker.ask(lane, path=EMBEDDINGS, input=texts, dimensions=8)
        assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.main), reply.body
        data = (await tell(speakers, request_id)).completed
        assert (data.client_api, data.attempts[0].usage) == ("embeddings", Usage(input_tokens=90))
        assert data.cost_nano == charge_nano(PRICES, Usage(input_tokens=90))
        assert reply.json["usage"] == {
            "prompt_tokens": 90,
            "total_tokens": 90,
            "cost": format_amount(data.cost_nano or 0),
            "currency": "USD",
            "bucket": "credit",
        }
        told.append([each["embedding"] for each in reply.json["data"]])
    assert all(each == told[0] for each in told)


async def test_embeddings_of_tokens_go_to_the_backup_where_the_first_provider_takes_texts_only(
    speakers: Rig, asker: Asker
) -> None:
    for dialect in ("gemini", "anthropic"):
        lane = speakers.lane(prefix=f"{dialect}-embed")
        _, reply = await asker.ask(lane, path=EMBEDDINGS, input=[[1, 2, 3], [4]], dimensions=8, encoding_format="base64")
        assert (reply.status, reply.headers["x-tollbook-channel"]) == (200, lane.backup), reply.body
        assert (reply.json["usage"]["prompt_tokens"], type(reply.json["data"][0]["embedding"])) == (4, str)


@pytest.mark.parametrize(("kind", "path"), [("-embed", CHAT), ("-embed", RESPONSES), ("", EMBEDDINGS)])
async def test_a_model_is_asked_only_by_the_apis_of_its_mode(speakers: Rig, asker: Asker, kind: str, path: str) -> None:
    lane = speakers.lane(prefix=f"openai{kind}")
    body: dict[str, Any] = {} if path == CHAT else {"input": "hello"}
    _, reply = await asker.ask(lane, path=path, **body)
    assert (reply.status, reply.json["error"]["code"], reply.json["error"]["param"]) == (400, "model_not_supported", "model")
