"""From the upstream's bytes to the client's, chunk by chunk."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final, Literal, NamedTuple

import structlog

from schemas.attempts import ErrorClass
from services.router.call import Call
from services.router.departure import Departure
from services.router.errors import StreamMalformedError
from services.router.open_stream import OpenStream
from services.router.presence import Send
from services.router.progress import ProgressReporter
from services.router.stream_progress import StreamProgress
from services.router.upstream import error_class_of

log = structlog.get_logger(__name__)
CAPPED: Final = "capped"
SLACK: Final = 0.125
"""By how much of its patience with a silent upstream a stream may be late."""
Halt = ErrorClass | Literal["capped"] | None
"""Why a stream ended: None when it was complete, "capped" when the upstream ignored its cap, else what broke it.
"client_gone" when it was ended because its client had left."""


class Pumped(NamedTuple):
    """How a stream ended, and whether the client had stopped reading: then it has seen a part only, and no end may follow."""

    halt: Halt
    muted: bool


class Pump:
    """Passes a stream on. A client that has gone, or reads no more, leaves the upstream to its channel's policy."""

    def __init__(self, between_reads_s: float, reporter: ProgressReporter) -> None:
        self._between_reads_s = between_reads_s
        self._reporter = reporter

    async def run(self, call: Call, progress: StreamProgress, opened: OpenStream, send: Send, departure: Departure) -> Pumped:
        """Pass everything on up to the held end."""
        progress.input_tokens = call.ask.prompt_estimate(call.tokens_bound)
        passing = _Passing(opened, send, progress, self._reporter)
        async with departure.noticed():
            halt = await self._until_halt(call, passing, departure)
        return Pumped(halt, passing.muted)

    async def _until_halt(self, call: Call, passing: _Passing, departure: Departure) -> Halt:
        while True:
            try:
                return await self._pass(call, passing, departure)
            except TimeoutError:
                now = monotonic()
                if departure.is_over(now):
                    return "client_gone"
                if passing.sending:
                    passing.muted = True
                    passing.sending = False
                    departure.left(now)
                    continue
                return "deadline_exceeded" if monotonic() >= call.deadline else "timeout"
            except StreamMalformedError:
                return "malformed_reply"
            except Exception as exc:
                error_class = error_class_of(exc)
                if error_class is None:
                    log.exception("stream_failed", request_id=str(call.context.request_id))
                    return "internal"
                return "stream_cut" if error_class == "connection_failed" else error_class

    async def _pass(self, call: Call, passing: _Passing, departure: Departure) -> Halt:
        between_s, deadline = self._between_reads_s, call.deadline
        ends = min(monotonic() + between_s, deadline, departure.until)
        async with asyncio.timeout_at(ends) as patience:
            departure.patience = patience
            try:
                if not passing.begun:
                    await passing.begin()
                if passing.halted:
                    return passing.halt
                async for part in passing.opened.parts:
                    now = monotonic()
                    departure.look(now)
                    last = min(deadline, departure.until)
                    if ends < min(now + between_s, last) or ends > last:
                        # A timer for each chunk would cost a tenth of its passage: silence may last a little longer.
                        ends = min(now + between_s * (1 + SLACK), last)
                        patience.reschedule(ends)
                    await passing.feed(part)
                    if passing.halted:
                        return passing.halt
            finally:
                departure.patience = None
        return None if passing.opened.chunks.complete else "stream_cut"


class _Passing:
    """The state of one stream's passage."""

    __slots__ = ("_progress", "_reporter", "_send", "begun", "halt", "halted", "muted", "opened", "sending")

    def __init__(self, opened: OpenStream, send: Send, progress: StreamProgress, reporter: ProgressReporter) -> None:
        self.opened = opened
        self._send = send
        self._progress = progress
        self._reporter = reporter
        self.begun = self.sending = self.muted = self.halted = False
        self.halt: Halt = None

    async def begin(self) -> None:
        """Send what came first."""
        self.begun = True
        await self._forward(self.opened.first)
        self._look()

    async def feed(self, part: bytes) -> None:
        """Take what the upstream sent, and send what may go on."""
        out = self.opened.chunks.feed(part)
        if out:
            await self._forward(out)
        self._look()

    async def _forward(self, out: bytes) -> None:
        if out and not self.muted:
            self.sending = True
            await self._send({"type": "http.response.body", "body": out, "more_body": True})
            self.sending = False

    def _look(self) -> None:
        chunks = self.opened.chunks
        if chunks.prompt is not None:
            prompt = chunks.prompt
            self._progress.input_tokens = prompt.input_tokens + prompt.cached_input_tokens + prompt.cache_write_tokens
        self._reporter.advance(self._progress, chunks.tokens_seen)
        if chunks.error is not None:
            self._stop("upstream_error")
        elif chunks.capped:
            self._stop(CAPPED)
        elif chunks.done:
            self._stop(None if chunks.complete else "stream_cut")
        elif self._progress.closed:
            self._stop("ledger_unavailable")

    def _stop(self, halt: Halt) -> None:
        self.halted = True
        self.halt = halt
