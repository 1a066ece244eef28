"""Whatever a client or an upstream sends, it is answered by one of our own errors and never by a crash."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.money import Usage
from services.router.ask import Ask, parse_ask
from services.router.clients.client_api import ClientApi
from services.router.clients.messages import Messages
from services.router.clients.responses import Responses
from services.router.dialects.openai import failure_of, priced_body, read_reply, read_usage, reply_text_chars, request_body
from services.router.dialects.openai_stream import ChatStream
from services.router.errors import RefusalError, StreamMalformedError, UpstreamError

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=8)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=8
)
COST = {"cost": "0", "currency": "USD", "bucket": "credit"}


def outcome(call: Callable[[], Any]) -> Any:
    """What the call returns, or the one of our own errors that it raises."""
    try:
        return call()
    except (RefusalError, UpstreamError) as error:
        return error


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects that have some of the fields, each as it should be or as anything."""
    return st.fixed_dictionaries({}, optional={name: right | ANYTHING for name, right in fields.items()})


PARTS = objects(type=st.sampled_from(["text", "image_url", "file"]), text=st.text(max_size=9))
MESSAGES = objects(role=st.just("user"), content=st.text(max_size=9) | st.lists(PARTS, max_size=3))
BODIES = objects(
    model=st.just("gpt-4o"),
    messages=st.lists(MESSAGES, min_size=1, max_size=3),
    stream=st.booleans(),
    stream_options=objects(include_usage=st.booleans()),
    max_tokens=st.integers(1, 9),
    n=st.integers(1, 3),
    tools=st.lists(ANYTHING, max_size=2),
)
USAGES = objects(
    prompt_tokens=st.integers(0, 99),
    completion_tokens=st.integers(0, 99),
    prompt_tokens_details=objects(cached_tokens=st.integers(0, 9), cache_write_tokens=st.integers(0, 9)),
    completion_tokens_details=objects(reasoning_tokens=st.integers(0, 9)),
)
CHOICES = objects(
    index=st.integers(0, 3),
    delta=objects(content=st.text(max_size=9)),
    message=objects(content=st.text(max_size=9)),
    finish_reason=st.none() | st.just("stop"),
)
REPLIES = objects(
    id=st.text(max_size=9), choices=st.lists(CHOICES, max_size=3), usage=USAGES, error=objects(code=st.text(max_size=5))
)

DEEP_REPLIES = st.builds(
    lambda reply, field: orjson.dumps({**reply, field: "DEEP"}).replace(b'"DEEP"', b"[" * 400 + b"]" * 400),
    REPLIES,
    st.sampled_from(["id", "created", "choices", "usage", "error", "z"]),
)


@settings(max_examples=1_000, deadline=None)
@given(BODIES | ANYTHING)
def test_any_body_is_an_ask_or_refused_with_400(document: Any) -> None:
    ask = outcome(lambda: parse_ask(orjson.dumps(document)))
    if isinstance(ask, RefusalError):
        assert ask.status == 400
        return
    assert isinstance(ask, Ask)
    assert 0 <= ask.prompt_estimate(10**6) <= 10**6
    sent = orjson.loads(request_body(ask, "upstream", 7))
    assert (sent["model"], sent["messages"]) == ("upstream", ask.body["messages"])
    assert 7 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))


@given(st.binary(max_size=40))
def test_any_bytes_are_an_ask_or_refused_with_400(body: bytes) -> None:
    ask = outcome(lambda: parse_ask(body))
    assert isinstance(ask, Ask) or ask.status == 400


@given(USAGES | ANYTHING)
def test_any_usage_is_read_whole_or_not_at_all(value: Any) -> None:
    usage = read_usage(value)
    if usage is not None:
        assert Usage.model_validate(usage.model_dump()) == usage
        assert usage.total_tokens == value["prompt_tokens"] + value["completion_tokens"]


@settings(max_examples=500, deadline=None)
@given(REPLIES | ANYTHING)
def test_any_reply_is_priced_or_malformed(document: Any) -> None:
    reply = outcome(lambda: read_reply(orjson.dumps(document)))
    if isinstance(reply, UpstreamError):
        assert reply.error_class == "malformed_reply"
        return
    assert reply_text_chars(reply.document) >= 0
    priced = orjson.loads(priced_body(reply, Usage(input_tokens=1), COST))
    assert priced["usage"]["cost"] == "0"


@given(st.integers(100, 599), REPLIES | ANYTHING)
def test_any_error_body_has_a_class_and_a_verdict(status: int, document: Any) -> None:
    failure = failure_of(status, orjson.dumps(document), None)
    assert failure.verdict in ("retry", "next", "pass")


@settings(max_examples=1_000, deadline=None)
@given(
    st.lists((REPLIES.map(orjson.dumps) | DEEP_REPLIES) | st.binary(max_size=20) | st.just(b"[DONE]"), max_size=6),
    st.integers(1, 3),
)
def test_any_stream_is_read_or_malformed_and_can_always_be_ended(events: list[bytes], choices: int) -> None:
    stream = ChatStream(choices)
    try:
        for event in events:
            stream.feed(b"data: " + event + b"\n\n")
    except StreamMalformedError:
        pass
    for capped in (False, True):
        tail = stream.ending(Usage(output_tokens=1), COST, include_usage=True, capped=capped)
        assert tail.endswith(b"data: [DONE]\n\n")
        last = orjson.loads(tail.split(b"\n\n")[-3].removeprefix(b"data: "))
        assert last["usage"]["cost"] == "0"


@pytest.mark.parametrize("api", [Messages(), Responses()], ids=lambda api: type(api).__name__)
@settings(max_examples=300, deadline=None)
@given(text=st.binary(max_size=12))
def test_a_chunk_that_goes_on_unread_is_written_anew_or_malformed(api: ClientApi, text: bytes) -> None:
    # Chat completions pass such a chunk on byte for byte: only who writes it anew learns that it is no JSON.
    first = {"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]}
    asked = parse_ask(b'{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}')
    stream = api.stream(asked, ChatStream(1))
    stream.feed(b"data: " + orjson.dumps(first) + b"\n\n")
    event = b'data: {"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}\n\n' % text
    with suppress(StreamMalformedError):
        assert isinstance(stream.feed(event), bytes)
