"""A chat completion as OpenAI's response, plain and streamed, as official clients read it."""

import json
from typing import Any

import httpx2
import orjson
import pytest
from openai import OpenAI as Client

from schemas.money import Usage
from services.router.dialects.openai import priced, read_reply
from services.router.dialects.thinking_blocks import opened
from tests.unit.router.test_responses_api import API, ASKED, OPENAI, THOUGHTS, parsed, simple

COST = {"cost": "0.5", "currency": "USD", "bucket": "credit"}
USAGE = Usage(input_tokens=6, cached_input_tokens=3, output_tokens=4, reasoning_tokens=2)
REPORTED = {
    "prompt_tokens": 9,
    "completion_tokens": 4,
    "total_tokens": 13,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def reply(message: dict[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    """What a client gets for a chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish, **more}
    document = {"id": "chatcmpl-1", "created": 5, "model": "gpt-x", "choices": [choice], "usage": REPORTED}
    read = read_reply(orjson.dumps(document))
    assert read.usage == USAGE
    found: dict[str, Any] = json.loads(API.plain(parsed(), read, priced(read, USAGE, COST), COST))
    return found


def test_a_reply_has_its_text_its_usage_and_what_it_cost() -> None:
    response = reply({"content": "Bonjour"})
    assert (response["id"], response["object"], response["status"], response["model"]) == (
        "resp_chatcmpl-1", "response", "completed", "gpt-x",
    )  # fmt: skip
    [item] = response["output"]
    assert item == {
        "id": "msg_chatcmpl-1_0",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Bonjour", "annotations": [], "logprobs": []}],
    }
    assert response["usage"] == {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 13,
        **COST,
    }
    assert {name: response[name] for name in ("instructions", "tools", "tool_choice", "text", "store", "temperature")} == {
        **{name: ASKED[name] for name in ("instructions", "tools", "tool_choice", "text")},
        "store": False,
        "temperature": 1.0,
    }


def test_a_reply_has_its_reasoning_its_refusal_and_its_calls_as_items() -> None:
    call = {"id": "c9", "type": "function", "function": {"name": "w", "arguments": "{}"}}
    thought = {"reasoning_content": "hm", "thinking_blocks": THOUGHTS}
    response = reply({"content": None, "refusal": "No.", **thought, "tool_calls": [call]}, "tool_calls")
    assert [item["type"] for item in response["output"]] == ["reasoning", "message", "function_call"]
    reasoning, message, function = response["output"]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert opened(reasoning["encrypted_content"]) == THOUGHTS
    assert message["content"] == [{"type": "refusal", "refusal": "No."}]
    assert (function["call_id"], function["name"], function["arguments"]) == ("c9", "w", "{}")


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_a_reply_that_was_cut_is_incomplete_and_says_why(finish: str, reason: str) -> None:
    response = reply({"content": "Bon"}, finish)
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert response["output"][0]["status"] == "incomplete"


def test_a_reply_that_is_no_response_is_malformed_before_anything_is_charged() -> None:
    read = read_reply(b'{"choices":[{"finish_reason":"stop"}]}')
    with pytest.raises(TypeError):
        API.plain(parsed(), read, priced(read, USAGE, COST), COST)


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """One chunk as an upstream sends it."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish, **more}
    return b"data: " + orjson.dumps({"id": "chatcmpl-1", "created": 5, "model": "gpt-x", "choices": [choice]}) + b"\n\n"


def streamed(*chunks: bytes, capped: bool = False, **fields: Any) -> list[dict[str, Any]]:
    """The events of a stream to its end."""
    stream = API.stream(simple(**fields), OPENAI.stream(1, 1000))
    data = b"".join([stream.feed(each) for each in chunks])
    return events_of(data + stream.ending(USAGE, COST, include_usage=False, capped=capped))


def events_of(data: bytes) -> list[dict[str, Any]]:
    """The events in bytes, each named as its data say, numbered without a gap."""
    events = []
    for place, block in enumerate(data.decode().strip().split("\n\n")):
        name, body = block.split("\n")
        event: dict[str, Any] = json.loads(body.removeprefix("data: "))
        assert (name, event["sequence_number"]) == (f"event: {event['type']}", place)
        events.append(event)
    return events


TEXT = (chunk({"role": "assistant", "content": ""}), chunk({"content": "Bon"}), chunk({"content": "jour"}))
END = chunk({}, "stop")
CALLS = (
    chunk({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "w", "arguments": ""}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]}),
    chunk({"tool_calls": [{"index": 1, "id": "c2", "type": "function", "function": {"name": "v", "arguments": "{}"}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
)


def test_a_stream_of_text_is_told_in_the_order_that_official_clients_expect() -> None:
    events = streamed(*TEXT, END)
    assert [event["type"] for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    final = events[-1]["response"]
    assert final["output"] == [events[-2]["item"]]
    assert final["output"][0]["content"][0]["text"] == events[6]["text"] == "Bonjour"
    assert (final["status"], final["usage"]["input_tokens"], final["usage"]["cost"]) == ("completed", 9, "0.5")


def test_calls_are_put_together_by_their_index() -> None:
    events = streamed(*TEXT, *CALLS, chunk({}, "tool_calls"))
    message, first, second = events[-1]["response"]["output"]
    assert (message["type"], first["call_id"], first["arguments"]) == ("message", "c1", '{"a":1}')
    assert (second["call_id"], second["name"], second["arguments"]) == ("c2", "v", "{}")
    done = [event["arguments"] for event in events if event["type"] == "response.function_call_arguments.done"]
    assert done == ['{"a":1}', "{}"]


def test_reasoning_is_a_summary_of_its_own_and_keeps_the_providers_blocks() -> None:
    events = streamed(
        chunk({"role": "assistant", "reasoning_content": "h"}),
        chunk({"reasoning_content": "m"}),
        chunk({"thinking_signature": "s"}),
        *TEXT[1:],
        END,
    )
    types = [event["type"] for event in events]
    assert types[2:8] == [
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
    ]
    reasoning, message = events[-1]["response"]["output"]
    assert (reasoning["summary"][0]["text"], message["content"][0]["text"]) == ("hm", "Bonjour")
    assert opened(reasoning["encrypted_content"]) == THOUGHTS


def test_a_refusal_is_a_part_of_its_own() -> None:
    events = streamed(chunk({"role": "assistant", "refusal": "N"}), chunk({"refusal": "o."}), END)
    assert events[-1]["response"]["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]
    assert "response.refusal.done" in [event["type"] for event in events]


def test_log_probabilities_come_with_their_text() -> None:
    told = {"content": [{"token": "Bon", "logprob": -0.1, "bytes": None, "top_logprobs": []}]}
    events = streamed(chunk({"content": "Bon"}, logprobs=told), END)
    [delta] = [event for event in events if event["type"] == "response.output_text.delta"]
    assert delta["logprobs"] == events[-1]["response"]["output"][0]["content"][0]["logprobs"] == told["content"]


def test_a_stream_cut_at_its_cap_is_incomplete() -> None:
    events = streamed(*TEXT, capped=True)
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert events[-1]["response"]["output"][0]["status"] == "incomplete"


def test_nothing_of_the_end_goes_out_before_it_may() -> None:
    stream = API.stream(simple(), OPENAI.stream(1, 1000))
    data = b"".join([stream.feed(each) for each in (*TEXT, *CALLS, END)])
    assert b"response.completed" not in data
    assert b'"usage":{' not in data


def test_a_stream_that_breaks_ends_as_failed() -> None:
    stream = API.stream(simple(), OPENAI.stream(1, 1000))
    data = b"".join([stream.feed(each) for each in TEXT])
    events = events_of(data + stream.failure({"error": {"message": "It broke.", "code": "stream_cut"}}))
    assert (events[-1]["type"], events[-1]["response"]["status"]) == ("response.failed", "failed")
    assert events[-1]["response"]["error"] == {"code": "server_error", "message": "It broke.", "type": "stream_cut"}


def test_the_official_client_puts_a_stream_together() -> None:
    stream = API.stream(simple(), OPENAI.stream(1, 1000))
    thought = (chunk({"reasoning_content": "hm"}), chunk({"thinking_signature": "s"}))
    body = b"".join([stream.feed(each) for each in (*thought, *TEXT, *CALLS, chunk({}, "tool_calls"))])
    body += stream.ending(USAGE, COST, include_usage=False)
    wire = httpx2.MockTransport(lambda _: httpx2.Response(200, content=body, headers={"content-type": "text/event-stream"}))
    with (
        httpx2.Client(transport=wire) as http,
        Client(api_key="k", base_url="https://example.com/v1", http_client=http) as client,
        client.responses.stream(model="m", input="hi") as events,
    ):
        final = events.get_final_response()
    assert (final.output_text, [item.type for item in final.output]) == (
        "Bonjour", ["reasoning", "message", "function_call", "function_call"],
    )  # fmt: skip
    assert final.usage is not None
    assert (final.usage.output_tokens_details.reasoning_tokens, (final.usage.model_extra or {})["cost"]) == (2, "0.5")
