"""Passing router's reply to the client: which headers go on, bytes as they come, and what is said when it breaks off."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import httpx
import orjson
from starlette.types import Message, Receive, Send

from schemas.calls import REJECTED_HEADER, TOKENS_HEADER
from services.edge.claims import Binding
from services.edge.errors import PeerUnavailableError
from services.edge.router import TRANSPORT_ERRORS
from services.edge.stored_replies import ReplyCopy
from services.edge.token_tap import TokenTap

MAX_ERROR_BYTES = 64 * 1024
EVENT_STREAM = b"text/event-stream"
_REJECTED = REJECTED_HEADER.encode()
_TOKENS = TOKENS_HEADER.encode()
_PASSED = frozenset((b"content-type", b"content-length", b"retry-after", b"x-should-retry", b"cache-control"))
_PASSED_PREFIXES = (b"x-tollbook-", b"x-ratelimit-")


@dataclass(frozen=True, slots=True)
class ReplyHead:
    """The start of router's reply: what goes to the client, and `rejected_code` where no upstream call was made."""

    status: int
    headers: list[tuple[bytes, bytes]]
    rejected_code: str | None
    streaming: bool

    @classmethod
    def of(cls, status: int, raw_headers: Iterable[tuple[bytes, bytes]]) -> "ReplyHead":
        """The head of a reply with these headers."""
        passed: list[tuple[bytes, bytes]] = []
        rejected: str | None = None
        streaming = False
        for raw_name, value in raw_headers:
            name = raw_name.lower()
            if name == _REJECTED:
                rejected = value.decode("latin-1")
            elif name in _PASSED or name.startswith(_PASSED_PREFIXES):
                passed.append((name, value))
                streaming = streaming or (name == b"content-type" and value.startswith(EVENT_STREAM))
        return cls(status, passed, rejected, streaming)

    def tokens(self) -> int | None:
        """How many tokens a plain reply took, as router says; None where it does not."""
        said = next((value for name, value in self.headers if name == _TOKENS), b"")
        return int(said) if said.isdigit() else None


@dataclass(frozen=True, slots=True)
class Passing:
    """What passing a reply on does beside it: settles the idempotency key, keeps a copy, knows how a broken stream ends."""

    binding: Binding
    copy: ReplyCopy
    broke_off: Callable[[], bytes]
    tap: TokenTap | None = None


async def pass_on(
    response: httpx.Response, head: ReplyHead, extra: list[tuple[bytes, bytes]], send: Send, passing: Passing
) -> None:
    """Send the reply as it comes. When router breaks off, a stream ends with an error event and a plain reply is cut.

    A bound idempotency key is settled before the end: such a reply is sent in chunks, whose end is ours to give, and the
    copy keeps it for the client that asks again.
    """
    headers = head.headers + extra
    if passing.binding.open:
        headers = [pair for pair in headers if pair[0] != b"content-length"]
    await send({"type": "http.response.start", "status": head.status, "headers": headers})
    try:
        async for chunk in _heard(response, passing.tap):
            passing.copy.add(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except TRANSPORT_ERRORS:
        if not head.streaming:
            raise
        await send({"type": "http.response.body", "body": passing.broke_off(), "more_body": True})
    await passing.binding.settle(accepted=True, reply=passing.copy.reply(head.status, headers))
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _heard(response: httpx.Response, tap: TokenTap | None) -> AsyncIterator[bytes]:
    """The reply's bytes as the client gets them: without what the tap hears."""
    async for chunk in response.stream:  # type: ignore[union-attr]  # the transport's streams are asynchronous
        if tap is None:
            yield chunk
        elif passed := tap.pass_on(chunk):
            yield passed
    if tap is not None and (rest := tap.rest()):
        yield rest


async def read_bounded(response: httpx.Response) -> bytes:
    """The whole of a small reply (an error). Raises :class:`PeerUnavailableError` where it breaks off or is not small."""
    body = b""
    try:
        async for chunk in response.stream:  # type: ignore[union-attr]  # the transport's streams are asynchronous
            body += chunk
            if len(body) > MAX_ERROR_BYTES:
                raise PeerUnavailableError("router's error is too long")
    except TRANSPORT_ERRORS as error:
        raise PeerUnavailableError(f"router broke off: {error!r}") from error
    return body


class ErrorReply(NamedTuple):
    """What an error reply says. `charged`: it cost something nevertheless, by policy."""

    code: str = ""
    message: str = ""
    charged: bool = False


def error_of(body: bytes) -> ErrorReply:
    """The error in a reply, an empty one where it is not in the shape."""
    try:
        error = orjson.loads(body)["error"]
        return ErrorReply(str(error["code"] or ""), str(error["message"] or ""), "cost" in error)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ErrorReply()


class DisconnectWatch:
    """Cancels the task that makes it once the client has gone away and `patience_s` is over, asked for when it leaves.

    `gone` tells that it left, `ended` that the cancellation is this one and no other.
    """

    def __init__(self, receive: Receive, patience_s: Callable[[], Awaitable[float]]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._work = task
        self._receive = receive
        self._patience_s = patience_s
        self.gone = False
        self.ended = False
        self._watch = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """The reply is whole: stop watching."""
        self._watch.cancel()

    def forgive(self) -> None:
        """Take the cancellation back, so that the task may tidy up."""
        self._work.uncancel()

    async def _run(self) -> None:
        message: Message = {"type": ""}
        while message["type"] != "http.disconnect":
            message = await self._receive()
        self.gone = True
        patience_s = await self._patience_s()
        if patience_s > 0:
            await asyncio.sleep(patience_s)
        self.ended = True
        self._work.cancel()
