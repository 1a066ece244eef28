"""Bodies have a limit of size and of time, however they arrive."""

import asyncio
from collections.abc import Iterable

import pytest
from starlette.types import Message, Receive

from services.edge.bodies import DRAIN_FACTOR, BodyReader
from services.edge.errors import BodyTimeoutError, BodyTooLargeError, ClientGoneError

READER = BodyReader(limit_bytes=10, timeout_s=5)


def arriving(chunks: Iterable[bytes], *, end: Message | None = None) -> tuple[Receive, list[int]]:
    """A receive channel that gives the chunks, then `end`; and how many bytes were taken from it."""
    parts = list(chunks)
    messages: list[Message] = [
        {"type": "http.request", "body": part, "more_body": end is not None or number < len(parts) - 1}
        for number, part in enumerate(parts)
    ]
    queue = iter([*messages, *([end] if end else [])])
    taken: list[int] = []

    async def receive() -> Message:
        message = next(queue)
        taken.append(len(message.get("body", b"")))
        return message

    return receive, taken


@pytest.mark.parametrize("chunks", [[b""], [b"0123456789"], [b"01234", b"56789"], [b"", b"0", b"", b"1"]])
async def test_a_body_within_the_limit_is_read_whole(chunks: list[bytes]) -> None:
    receive, _ = arriving(chunks)
    assert await READER.read({}, receive) == b"".join(chunks)


@pytest.mark.parametrize("chunks", [[b"0123456789x"], [b"01234", b"56789", b"x"], [b"x"] * 11])
@pytest.mark.parametrize("headers", [{}, {b"content-length": b"3"}])
async def test_a_body_beyond_the_limit_is_refused_whatever_was_declared(
    chunks: list[bytes], headers: dict[bytes, bytes]
) -> None:
    receive, _ = arriving(chunks)
    with pytest.raises(BodyTooLargeError):
        await READER.read(headers, receive)


async def test_a_body_that_is_declared_too_large_is_drained_and_refused() -> None:
    receive, taken = arriving([b"0123456789"] * 2)
    with pytest.raises(BodyTooLargeError):
        await READER.read({b"content-length": b"20"}, receive)
    assert sum(taken) == 20


async def test_an_endless_body_is_drained_no_further_than_its_bound() -> None:
    receive, taken = arriving([b"0123456789"] * 1000)
    with pytest.raises(BodyTooLargeError):
        await READER.read({}, receive)
    assert sum(taken) <= (DRAIN_FACTOR + 1) * 10


async def test_a_client_that_leaves_while_it_sends_is_gone() -> None:
    receive, _ = arriving([b"01"], end={"type": "http.disconnect"})
    with pytest.raises(ClientGoneError):
        await READER.read({}, receive)


async def test_a_body_that_does_not_arrive_in_time_is_refused() -> None:
    async def never() -> Message:
        await asyncio.get_running_loop().create_future()
        return {}

    with pytest.raises(BodyTimeoutError):
        await BodyReader(limit_bytes=10, timeout_s=0.01).read({}, never)
