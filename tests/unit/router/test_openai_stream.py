"""What of a stream goes on at once, what is held back, and what is counted."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from schemas.money import Usage
from services.router.dialects.openai_stream import DONE, ChatStream
from services.router.errors import StreamMalformedError

HEAD = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-2026"}
COST = {"cost": "0.001", "currency": "USD", "bucket": "credit"}
REPORTED = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}
USAGE = Usage(input_tokens=10, output_tokens=3)


def event(delta: dict[str, Any] | None, finish: str | None = None, index: int = 0, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": index, "delta": delta, "finish_reason": finish}]
    return b"data: " + orjson.dumps({**HEAD, "choices": choices, **more}) + b"\n\n"


ROLE = event({"role": "assistant", "content": ""}, usage=None)
WORDS = [event({"content": word}, usage=None) for word in ("a", "b", "c")]
STOP = event({}, "stop", usage=None)
LAST = event(None, usage=REPORTED)
WHOLE = ROLE + b"".join(WORDS) + STOP + LAST + DONE


def documents(stream: bytes) -> list[Any]:
    return [orjson.loads(part[6:]) if part != b"data: [DONE]" else "DONE" for part in stream.split(b"\n\n") if part]


@pytest.mark.parametrize("size", range(1, len(WHOLE) + 1, 7))
def test_chunks_go_on_byte_for_byte_wherever_the_bytes_are_cut(size: int) -> None:
    stream = ChatStream(1)
    out = b"".join(stream.feed(WHOLE[at : at + size]) for at in range(0, len(WHOLE), size))
    assert out == ROLE + b"".join(WORDS)
    assert (stream.usage, stream.tokens_seen, stream.complete, stream.done) == (USAGE, 3, True, True)
    assert documents(stream.ending(USAGE, COST, include_usage=True)) == [
        *documents(STOP),
        {**HEAD, "choices": [], "usage": {**REPORTED, **COST}},
        "DONE",
    ]


def test_every_single_cut_gives_the_same() -> None:
    for at in range(len(WHOLE)):
        stream = ChatStream(1)
        assert stream.feed(WHOLE[:at]) + stream.feed(WHOLE[at:]) == ROLE + b"".join(WORDS)
        assert stream.ending(USAGE, COST, include_usage=False) == STOP + DONE


def test_carriage_returns_comments_and_multi_line_data_are_understood() -> None:
    stream = ChatStream(1)
    text = b": hello\r\n\r\nevent: message\r\n" + ROLE.replace(b"\n\n", b"\r\n\r\n") + WORDS[0].replace(b"\n\n", b"\r\n\r\n")
    assert b"hello" not in stream.feed(text)
    assert stream.feed(b": still here\n\n") == b": still here\n\n"
    split = STOP.replace(b',"choices"', b',\ndata:"choices"')
    assert stream.feed(split) == b""
    assert (stream.complete, stream.tokens_seen) == (True, 1)


def test_a_client_that_did_not_ask_sees_no_usage() -> None:
    stream = ChatStream(1)
    stream.feed(WHOLE)
    assert stream.ending(USAGE, COST, include_usage=False) == STOP + DONE


def test_usage_in_the_finishing_chunk_is_taken_out_of_it() -> None:
    stream = ChatStream(1)
    assert stream.feed(ROLE + event({"content": "a"}, "stop", usage=REPORTED)) == ROLE
    assert stream.usage == USAGE
    [finish, done] = documents(stream.ending(USAGE, COST, include_usage=False))
    assert "usage" not in finish
    assert finish["choices"][0]["delta"] == {"content": "a"}
    assert done == "DONE"


def test_the_last_of_several_usages_counts() -> None:
    stream = ChatStream(1)
    early = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
    assert b"usage" not in stream.feed(event({"content": "a"}, usage=early))
    stream.feed(event({"content": "b"}, usage={**early, "completion_tokens": 2}) + STOP + LAST + DONE)
    assert stream.usage == USAGE


def test_a_usage_that_means_nothing_is_replaced_by_the_estimate() -> None:
    stream = ChatStream(1)
    stream.feed(ROLE + STOP + event(None, usage={"prompt_tokens": -1, "completion_tokens": 1}) + DONE)
    assert stream.usage is None
    last = documents(stream.ending(Usage(input_tokens=4, output_tokens=2), COST, include_usage=True))[1]
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"], last["usage"]["cost"]) == (4, 2, "0.001")


def test_every_choice_must_finish() -> None:
    stream = ChatStream(2)
    stream.feed(ROLE + event({}, "stop", 0))
    assert not stream.complete
    assert stream.feed(event({"content": "late"}, index=1)) == event({"content": "late"}, index=1)
    stream.feed(event({}, "length", 1))
    assert stream.complete


def test_a_chunk_in_which_only_one_of_two_choices_finishes_is_held() -> None:
    stream = ChatStream(2)
    stream.feed(ROLE)
    both = {"choices": [{"index": 0, "delta": {}, "finish_reason": None}, {"index": 1, "delta": {}, "finish_reason": "stop"}]}
    assert stream.feed(b"data: " + orjson.dumps({**HEAD, **both}) + b"\n\n") == b""


def test_a_text_that_looks_like_a_key_is_still_a_text() -> None:
    stream = ChatStream(1)
    tricky = event({"content": '"finish_reason":"stop","usage":{"prompt_tokens":1}'}, usage=None)
    assert stream.feed(ROLE + tricky) == ROLE + tricky
    assert (stream.complete, stream.usage) == (False, None)
    tricky_stop = event({"content": '"finish_reason":null'}, "stop", usage=None)
    assert stream.feed(tricky_stop) == b""
    assert stream.complete


def test_spaces_in_the_upstreams_json_make_no_difference() -> None:
    spaced = [part.replace(b'":', b'": ').replace(b',"', b', "') for part in (ROLE, *WORDS, STOP, LAST)]
    stream = ChatStream(1)
    assert stream.feed(b"".join(spaced) + DONE) == b"".join(spaced[:4])
    assert (stream.usage, stream.tokens_seen, stream.complete) == (USAGE, 3, True)


def test_chunks_without_the_key_finish_reason_go_on_too() -> None:
    stream = ChatStream(1)
    bare = b"data: " + orjson.dumps({**HEAD, "choices": [{"index": 0, "delta": {"content": "a"}}]}) + b"\n\n"
    assert stream.feed(ROLE + bare) == ROLE + bare
    assert stream.tokens_seen == 1


def test_an_error_in_the_stream_is_kept_with_what_it_burned() -> None:
    stream = ChatStream(1)
    assert stream.feed(b"data: " + orjson.dumps({"error": {"message": "overloaded"}, "usage": REPORTED}) + b"\n\n") == b""
    assert (stream.error, stream.usage, stream.started) == ({"message": "overloaded"}, USAGE, False)


def test_a_capped_stream_ends_with_the_finish_reason_length() -> None:
    stream = ChatStream(2)
    stream.feed(ROLE + event({}, "stop", 1) + WORDS[0])
    held, cut, last, done = documents(
        stream.ending(Usage(input_tokens=9, output_tokens=8), COST, include_usage=True, capped=True)
    )
    assert held["choices"][0]["index"] == 1
    assert cut == {**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}
    assert last["usage"]["completion_tokens"] == 8
    assert done == "DONE"


@pytest.mark.parametrize(
    "bad", [b"data: {\n\n", b"data: []\n\n", b"data: {}\n\n", b'data: {"choices":null}\n\n', b"data: hello\n\n"]
)
def test_what_is_no_chunk_is_malformed(bad: bytes) -> None:
    with pytest.raises(StreamMalformedError):
        ChatStream(1).feed(bad)


DEEP = b'{"a":' * 400 + b"1" + b"}" * 400


@pytest.mark.parametrize("index", [[1], {}, "0", True, -1, 1, 1.5])
def test_a_choice_with_an_index_that_was_not_asked_for_is_malformed(index: Any) -> None:
    with pytest.raises(StreamMalformedError):
        ChatStream(1).feed(event({"content": "a"}, "stop", index))
    with pytest.raises(StreamMalformedError):
        ChatStream(1).feed(b"data: " + orjson.dumps({"choices": [None]}) + b"\n\n")


def test_a_usage_too_deep_to_write_again_still_ends_the_stream_with_its_cost() -> None:
    stream = ChatStream(1)
    stream.feed(ROLE + STOP + LAST.replace(b'"total_tokens":13', b'"total_tokens":13,"z":' + DEEP) + DONE)
    assert stream.usage == USAGE
    last = documents(stream.ending(USAGE, COST, include_usage=True))[1]
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"], last["usage"]["cost"]) == (10, 3, "0.001")


def test_a_stamp_too_deep_to_write_again_is_left_out_of_the_end() -> None:
    stream = ChatStream(1)
    stream.feed(ROLE.replace(b'"created":1', b'"created":' + DEEP) + STOP.replace(b'"created":1,', b"") + LAST + DONE)
    assert documents(stream.ending(USAGE, COST, include_usage=True))[1]["usage"]["cost"] == "0.001"


def test_a_chunk_with_usage_too_deep_to_write_again_is_malformed_and_keeps_its_usage() -> None:
    stream = ChatStream(1)
    with pytest.raises(StreamMalformedError):
        stream.feed(event({"content": "a"}, usage=REPORTED).replace(b'"created":1', b'"created":1,"z":' + DEEP))
    assert stream.usage == USAGE


@pytest.mark.parametrize(
    ("delta", "tokens"),
    [
        ({"content": "word " * 1000}, 999),
        ({"content": "=" * 12_800}, 100),
        ({"tool_calls": [{"index": 0, "id": "c 1", "type": "function", "function": {"arguments": "a " * 500}}]}, 499),
        ({"role": "assistant", "content": ""}, 0),
    ],
)
def test_a_giant_chunk_counts_for_what_it_says(delta: dict[str, Any], tokens: int) -> None:
    stream = ChatStream(1)
    giant = event(delta, logprobs="x" * 600)
    assert stream.feed(giant) == giant
    assert stream.feed(giant) == giant
    assert stream.tokens_seen == 2 * tokens


def test_what_came_with_a_malformed_event_is_not_counted_because_it_does_not_go_on() -> None:
    stream = ChatStream(1)
    stream.feed(ROLE + WORDS[0])
    with pytest.raises(StreamMalformedError):
        stream.feed(WORDS[1] + b"data: {\n\n")
    assert stream.tokens_seen == 1


@pytest.mark.parametrize("choices", [1, 2])
@pytest.mark.parametrize("at_once", [True, False])
def test_nothing_beyond_the_cap_goes_on_even_when_it_comes_with_what_is_within(choices: int, at_once: bool) -> None:
    stream = ChatStream(choices, 2 * choices)
    within = [event({"content": "a"}, index=index) for index in range(choices) for _ in range(2)]
    beyond = [event({"content": "b"}), event({}, "stop"), b"data: [DONE]\n\n"]
    parts = [b"".join(within + beyond)] if at_once else within + beyond
    assert b"".join(stream.feed(part) for part in parts) == b"".join(within)
    assert (stream.capped, stream.done, stream.complete) == (True, False, False)


def test_exactly_the_cap_is_no_overrun() -> None:
    stream = ChatStream(1, 2)
    within = event({"content": "a"}) * 2
    assert stream.feed(within + event({}, "stop") + b"data: [DONE]\n\n") == within
    assert (stream.capped, stream.complete) == (False, True)
