"""Whatever clients of responses and embeddings send, or a provider of responses answers: at worst one of our own errors."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.money import Usage
from services.router.ask import Ask
from services.router.clients.client_api import ClientApi
from services.router.clients.embeddings import Embeddings
from services.router.clients.responses import Responses
from services.router.dialects.dialect import Dialect
from services.router.dialects.known import DIALECTS
from services.router.dialects.openai_responses import OpenAIResponses
from services.router.errors import RefusalError, StreamMalformedError, UpstreamError
from services.router.translation import body_for
from tests.property.router.test_hostile_bytes import ANYTHING, COST, objects, outcome

TEXT = st.text(max_size=6)
PARTS = objects(
    type=st.sampled_from(["input_text", "output_text", "input_image", "input_file", "refusal"]),
    text=TEXT,
    refusal=TEXT,
    image_url=st.sampled_from(["https://example.com/a.png", "data:image/png;base64,aGk=", "data:x"]),
    file_data=st.just("aGk="),
)
ITEMS = objects(
    type=st.sampled_from(["message", "function_call", "function_call_output", "reasoning", "custom_tool_call"]),
    role=st.sampled_from(["user", "assistant", "system", "developer"]),
    content=TEXT | st.lists(PARTS, max_size=2),
    call_id=TEXT,
    name=TEXT,
    arguments=st.sampled_from(["{}", "[", ""]),
    output=TEXT | st.lists(PARTS, max_size=2),
    summary=st.just([]),
    encrypted_content=st.sampled_from(["tb1.W10=", "tb1.W3t9XQ==", "x"]),
)
RESPONSES = objects(
    model=st.just("m"),
    input=TEXT | st.lists(ITEMS, min_size=1, max_size=4),
    instructions=TEXT,
    max_output_tokens=st.integers(1, 99),
    stream=st.booleans(),
    tools=st.lists(objects(type=st.sampled_from(["function", "custom", "mcp"]), name=TEXT, parameters=ANYTHING), max_size=2),
    tool_choice=st.sampled_from(["auto", "required"]) | objects(type=st.sampled_from(["function", "allowed_tools"]), name=TEXT),
    reasoning=objects(effort=st.sampled_from(["low", "none"])),
    text=objects(format=objects(type=st.sampled_from(["text", "json_schema"]), name=TEXT, schema=ANYTHING)),
    include=st.lists(TEXT, max_size=2),
    metadata=ANYTHING,
)
EMBEDDINGS = objects(
    model=st.just("m"),
    input=TEXT | st.lists(TEXT, max_size=3) | st.lists(st.integers(0, 9), max_size=3),
    dimensions=st.integers(1, 9),
    encoding_format=st.sampled_from(["float", "base64"]),
)
WHOLE: dict[str, Any] = {"id": "resp_1", "created_at": 5, "status": "completed", "model": "m", "output": []}
COUNTS = objects(input_tokens=st.integers(0, 99), output_tokens=st.integers(0, 99), input_tokens_details=ANYTHING)
ANSWERS = objects(
    id=TEXT,
    created_at=st.integers(0, 9),
    status=st.sampled_from(["completed", "incomplete", "failed"]),
    model=TEXT,
    output=st.lists(ITEMS, max_size=3),
    usage=COUNTS,
    error=ANYTHING,
    incomplete_details=ANYTHING,
)
EVENTS = objects(
    type=st.sampled_from(
        [
            "response.created",
            "response.output_item.added",
            "response.output_text.delta",
            "response.refusal.delta",
            "response.reasoning_summary_text.delta",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.custom_tool_call_input.delta",
            "response.output_item.done",
            "response.completed",
            "response.incomplete",
            "response.failed",
            "error",
        ]
    ),
    response=ANSWERS | st.just(WHOLE),
    item=ITEMS,
    output_index=st.integers(0, 2),
    delta=TEXT,
    arguments=TEXT,
    sequence_number=st.integers(0, 9),
    message=TEXT,
)


def read(api: ClientApi, document: Any) -> Ask | None:
    """The ask; None for one that was refused with 400 or less of it."""
    found = outcome(lambda: api.parse(orjson.dumps(document)))
    if isinstance(found, RefusalError):
        assert found.status == 400
        return None
    assert isinstance(found, Ask)
    assert 0 <= found.prompt_estimate(10**6) <= 10**6
    return found


@settings(max_examples=200, deadline=None)
@given(RESPONSES | ANYTHING)
def test_any_response_is_asked_for_or_refused_with_400_over_every_dialect(document: Any) -> None:
    asked(Responses(), document, "chat")


@settings(max_examples=100, deadline=None)
@given(EMBEDDINGS | ANYTHING)
def test_any_embedding_is_asked_for_or_refused_with_400_over_every_dialect(document: Any) -> None:
    asked(Embeddings(), document, "embedding")


def _sent(dialect: Dialect, call: Any) -> Any:
    return orjson.loads(body_for(dialect, call, "upstream", 64))


def asked(api: ClientApi, document: Any, mode: str) -> None:
    """Send it to every dialect; all that may come of it is a JSON object or a 400."""
    ask = read(api, document)
    if ask is None:
        return
    call: Any = SimpleNamespace(ask=ask, api=api)
    for dialect in DIALECTS[mode].values():
        sent = outcome(partial(_sent, dialect, call))
        if isinstance(sent, UpstreamError):
            assert (sent.error_class, sent.status) == ("not_translatable", 400)
            assert orjson.loads(sent.body)["error"]["message"]
        else:
            assert isinstance(sent, dict)


@settings(max_examples=200, deadline=None)
@given(ANSWERS | ANYTHING)
def test_any_response_of_a_provider_is_a_reply_or_a_failed_attempt(document: Any) -> None:
    reply = outcome(lambda: OpenAIResponses().read_reply(orjson.dumps(document)))
    if isinstance(reply, UpstreamError):
        assert reply.error_class in ("malformed_reply", "upstream_error", "rate_limited")
        return
    assert reply.document["choices"][0]["finish_reason"]


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENTS | ANYTHING, max_size=6), st.booleans())
@example([{"type": "response.output_item.done"}], True)
@example([{"type": "response.output_item.done", "item": "text"}], True)
def test_any_stream_of_a_provider_is_read_or_malformed_and_can_always_be_ended(events: list[Any], native: bool) -> None:
    chunks = OpenAIResponses().stream(1, 20)
    api = Responses()
    stream: Any = api.stream(api.parse(b'{"model":"m","input":"x"}'), chunks) if native else chunks
    try:
        for event in events:
            stream.feed(b"data: " + orjson.dumps(event) + b"\n\n")
    except StreamMalformedError:
        assert stream.failure({"error": {"message": "m", "code": "malformed_reply"}})
        return
    assert stream.tokens_seen >= 0
    assert stream.ending(Usage(output_tokens=1), COST, include_usage=True, capped=not stream.complete)


@pytest.mark.parametrize("depth", [200, 5_000])
def test_a_body_that_is_nested_deeply_is_answered_too(depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    for body in (b'{"model":"m","input":"x","zzz":%b}' % nested, b'{"model":"m","input":%b}' % nested):
        ask = outcome(partial(Responses().parse, body))
        if isinstance(ask, RefusalError):
            continue
        call: Any = SimpleNamespace(ask=ask, api=Responses())
        for dialect in DIALECTS["chat"].values():
            outcome(partial(_sent, dialect, call))
