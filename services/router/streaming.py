"""Streamed replies: chunks go on as they come, the end waits until the request's record is safe."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import NamedTuple

import structlog

from schemas.attempts import ErrorClass, UsageSource
from schemas.calls import TOKENS_COMMENT
from schemas.money import Usage
from services.router.answers import EVENTS, Answer, cost_fields, failure_document, route_headers
from services.router.attempts import AttemptLoop
from services.router.bounds import estimated_stream_tokens
from services.router.call import Call, Charge, Outgoing, Running
from services.router.departure import Departure, unless_gone
from services.router.errors import LogUnavailableError, UpstreamError
from services.router.open_stream import OpenStream
from services.router.plain import fail
from services.router.presence import Receive, Send, has_gone
from services.router.progress import ProgressReporter
from services.router.pump import CAPPED, Halt, Pump
from services.router.settling import Settler, estimate
from services.router.upstream import Upstream

log = structlog.get_logger(__name__)


class _Moments(NamedTuple):
    """When the first chunk came, in milliseconds since the attempt and since the request began."""

    attempt_ms: float
    request_ms: float


class StreamDelivery:
    """Answers requests that stream."""

    def __init__(
        self,
        attempts: AttemptLoop,
        upstream: Upstream,
        settler: Settler,
        reporter: ProgressReporter,
        *,
        disconnect_drain_s: float = 60.0,
    ) -> None:
        self._drain_s = disconnect_drain_s
        self._attempts = attempts
        self._upstream = upstream
        self._settler = settler
        self._pump = Pump(upstream.times.between_reads_s, reporter)

    async def answer(self, call: Call, receive: Receive, send: Send) -> Answer | None:
        """Stream the reply, or answer whole where no attempt began to stream: only then may :class:`LogUnavailableError` leave.

        Once a chunk has gone out there is no second attempt: what breaks then ends the stream with an error event, and the
        customer pays for what was streamed.
        """

        async def begin(call: Call, running: Running) -> OpenStream:
            return await unless_gone(running, receive, self._upstream.open_stream(call, running))

        try:
            opened, running = await self._attempts.run(call, begin, lambda: has_gone(receive))
        except UpstreamError as failure:
            return await fail(call, self._settler, failure)
        now = monotonic()
        first = _Moments(round((now - running.begun) * 1000, 3), round((now - call.begun) * 1000, 3))
        try:
            await self._deliver(call, running, opened, receive, send, first=first)
        except Exception:
            # The reply has begun: its end is missing, which the client notices.
            log.exception("stream_not_ended", request_id=str(call.context.request_id))
        finally:
            try:
                await self._settle_broken(call, running, opened, first)
            finally:
                await opened.close()
        return None

    async def _deliver(
        self, call: Call, running: Running, opened: OpenStream, receive: Receive, send: Send, *, first: _Moments
    ) -> None:
        overhead_ms = max(0.0, first.request_ms - call.upstream_ms - first.attempt_ms)
        headers = [EVENTS, (b"cache-control", b"no-cache"), *route_headers(call, running, overhead_ms)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        progress = call.progress[running.cover.grant.hold_id]
        pumped = await self._pump.run(call, progress, opened, send, Departure(running, receive, self._drain_s))
        gone = pumped.muted or has_gone(receive)
        tail = await self._settle(call, running, opened, pumped.halt, first, gone=gone)
        if pumped.muted:
            # The client has a gap in its stream: the connection ends here, without an end that would hide it.
            return
        async with asyncio.timeout(self._upstream.times.between_reads_s):
            await send({"type": "http.response.body", "body": tail, "more_body": False})

    async def _settle(
        self, call: Call, running: Running, opened: OpenStream, halt: Halt, first: _Moments, *, gone: bool
    ) -> bytes:
        """Write the record; the bytes that the client sees last."""
        broken: ErrorClass | None = None if halt is None or halt == "capped" else halt
        usage, source = _usage(call, running, opened, halt)
        charge = None if broken is not None and not opened.chunks.tokens_seen else call.charge(running, usage)
        cancelled = broken == "client_gone"
        finished = call.finished(
            running,
            usage,
            source,
            monotonic(),
            outcome="succeeded" if broken is None else "cancelled" if cancelled else "failed",
            error_class=broken,
            ttft_ms=first.attempt_ms,
            upstream_id=opened.upstream_id,
            after_disconnect="cancelled" if cancelled else "drained" if gone else None,
            capped=opened.chunks.capped,
        )
        tail = _told(call, usage) + _tail(call, opened, halt, usage, charge)
        try:
            await self._settler.settle(call, _outgoing(broken, charge, first.request_ms, gone=gone), finished)
        except LogUnavailableError:
            return opened.chunks.failure(failure_document("log_unavailable", 503))
        return tail

    async def _settle_broken(self, call: Call, running: Running, opened: OpenStream, first: _Moments) -> None:
        """Settle a stream that began and has no record, whatever broke it here: with what is known, as one that was cut."""
        if call.settled:
            return
        chunks = opened.chunks
        cover = running.cover
        source: UsageSource = "estimated" if chunks.usage is None else "reported"
        usage = chunks.usage
        if usage is None:
            progress = call.progress.get(cover.grant.hold_id)
            tokens = min(chunks.tokens_seen, cover.grant.output_cap * call.ask.choices)
            told = chunks.prompt or Usage(input_tokens=0 if progress is None else progress.input_tokens)
            usage = told.model_copy(update={"output_tokens": tokens})
        charge = call.charge(running, usage) if chunks.tokens_seen else None
        call.attempts = [attempt for attempt in call.attempts if attempt["attempt"] != running.number]
        finished = call.finished(
            running,
            usage,
            source,
            monotonic(),
            outcome="failed",
            error_class="internal",
            ttft_ms=first.attempt_ms,
            upstream_id=opened.upstream_id,
            capped=opened.chunks.capped,
        )
        try:
            await self._settler.settle(call, _outgoing("internal", charge, first.request_ms, gone=False), finished)
        except LogUnavailableError as exc:
            # The hold stays open and becomes a case.
            log.warning("log_unavailable", request_id=str(call.context.request_id), reason=str(exc))


def _usage(call: Call, running: Running, opened: OpenStream, halt: Halt) -> tuple[Usage, UsageSource]:
    if opened.chunks.usage is not None and halt != CAPPED:
        return opened.chunks.usage, "reported"
    cap = running.cover.grant.output_cap * call.ask.choices
    tokens = cap if halt == CAPPED else estimated_stream_tokens(tokens_seen=opened.chunks.tokens_seen, cap=cap)
    return estimate(call, running, tokens, opened.chunks.prompt)


def _outgoing(broken: ErrorClass | None, charge: Charge | None, ttft_ms: float, *, gone: bool) -> Outgoing:
    if gone:
        return Outgoing("cancelled", 200, broken or "client_gone", charge, ttft_ms)
    return Outgoing("succeeded" if broken is None else "failed", 200, broken, charge, ttft_ms)


def _told(call: Call, usage: Usage) -> bytes:
    """The line that tells edge how many tokens the answer took, where edge wants to know it."""
    return b"%s%d\n" % (TOKENS_COMMENT.encode(), usage.total_tokens) if call.context.tell_tokens else b""


def _tail(call: Call, opened: OpenStream, halt: Halt, usage: Usage, charge: Charge | None) -> bytes:
    if halt is not None and halt != "capped":
        return opened.chunks.failure(failure_document(halt))
    assert charge is not None
    return opened.chunks.ending(usage, cost_fields(charge), include_usage=call.ask.include_usage, capped=halt == CAPPED)
