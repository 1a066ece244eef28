"""How many tokens a stream took is heard wherever its bytes are cut, and the client gets the rest as it came."""

import itertools

import pytest

from services.edge.token_tap import TokenTap

EVENTS = b'data: {"choices":[{"delta":{"content":": tollbook-tokens 9\\n"}}]}\n\n'
END = b'data: {"usage":1}\n\ndata: [DONE]\n\n'
STREAM = EVENTS + b": tollbook-tokens 1234\n" + END


def heard(chunks: list[bytes]) -> tuple[bytes, int | None]:
    tap = TokenTap()
    passed = b"".join(tap.pass_on(chunk) for chunk in chunks)
    return passed + tap.rest(), tap.tokens


def test_the_comment_is_heard_at_every_cut_and_taken_out() -> None:
    for first, second in itertools.combinations(range(len(STREAM) + 1), 2):
        assert heard([STREAM[:first], STREAM[first:second], STREAM[second:]]) == (EVENTS + END, 1234)


def test_it_is_heard_byte_by_byte() -> None:
    assert heard([STREAM[place : place + 1] for place in range(len(STREAM))]) == (EVENTS + END, 1234)


@pytest.mark.parametrize(
    "stream", [EVENTS + END, EVENTS, b"", b": ping\n\n" + EVENTS, b": tollbook-tokens x\n" + END, b": tollbook-t"]
)
def test_what_is_not_the_comment_goes_on_unchanged(stream: bytes) -> None:
    assert heard([stream]) == (stream, None)
    assert heard([stream[place : place + 1] for place in range(len(stream))]) == (stream, None)


def test_a_whole_event_is_never_held_back() -> None:
    tap = TokenTap()
    assert [tap.pass_on(EVENTS) for _ in range(3)] == [EVENTS] * 3
    assert tap.pass_on(b": ") == b""
    assert tap.pass_on(b"ping\n\n") == b": ping\n\n"
