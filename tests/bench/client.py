"""One connection of the load generator: raw asyncio and httptools, so that the generator costs little."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

import httptools

ERROR_SAMPLES_MAX = 5
SAMPLE_BYTES = 300


class Tally:
    """What the connections of one generator have seen, in seconds."""

    def __init__(self) -> None:
        self.latencies_s: list[float] = []
        self.ttfts_s: list[float] = []
        self.chunks = 0
        self.errors = 0
        self.samples: list[str] = []

    def fail(self, why: str) -> None:
        """Count an error and keep the first few reasons."""
        self.errors += 1
        if len(self.samples) < ERROR_SAMPLES_MAX:
            self.samples.append(why[:SAMPLE_BYTES])


class Client(asyncio.Protocol):
    """Sends the next request as soon as the last is answered, until `next_request` gives None.

    Whoever holds it opens another when `ended` was called with False: the server hung up.
    """

    def __init__(self, tally: Tally, next_request: Callable[[], bytes | None], ended: Callable[[bool], None]) -> None:
        self._tally = tally
        self._next_request = next_request
        self._ended = ended
        self._transport: Any = None
        self.sent_at: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.sent_at is not None:
            self._tally.fail(f"the connection ended before the reply did: {exc!r}")
            self.sent_at = None
        self._over(finished=False)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.abort(f"not HTTP: {error!r}")

    def abort(self, why: str) -> None:
        """Give the request under way up."""
        if self.sent_at is not None:
            self._tally.fail(why)
            self.sent_at = None
        self._transport.abort()

    def _send(self) -> None:
        request = self._next_request()
        if request is None:
            self._over(finished=True)
            self._transport.close()
            return
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._first_at = 0.0
        self._transport.write(request)
        self.sent_at = perf_counter()

    def _over(self, *, finished: bool) -> None:
        ended, self._ended = self._ended, _nobody
        ended(finished)

    def on_body(self, body: bytes) -> None:
        if not self._parts:
            self._first_at = perf_counter()
        self._parts.append(body)

    def on_message_complete(self) -> None:
        now = perf_counter()
        sent_at, self.sent_at = self.sent_at, None
        if sent_at is None:
            return
        body = b"".join(self._parts)
        status = self._parser.get_status_code()
        if status != 200 or not is_whole(body):
            self._tally.fail(f"status {status}: {body[-SAMPLE_BYTES:].decode(errors='replace')}")
        else:
            self._tally.latencies_s.append(now - sent_at)
            self._tally.ttfts_s.append(self._first_at - sent_at)
            self._tally.chunks += max(body.count(b"data: ") - 1, 0)
        if self._parser.should_keep_alive():
            # Not from within the parser's callback: it still holds this reply.
            asyncio.get_running_loop().call_soon(self._send_on)
        else:
            self._transport.close()

    def _send_on(self) -> None:
        if not self._transport.is_closing():
            self._send()


def is_whole(body: bytes) -> bool:
    """Whether a reply came to its proper end: usage in a plain one, usage and `[DONE]` in a stream."""
    if b'"total_tokens"' not in body:
        return False
    return not body.startswith(b"data: ") or body.rstrip().endswith(b"data: [DONE]")


def _nobody(_finished: bool) -> None:
    """Nobody waits any more."""
