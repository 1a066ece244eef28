"""One completion, from the request's bytes to the reply's: the instant one, and the ones that faults and paces change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from deploy.local.provider import framing
from deploy.local.provider.ask import INSTANT, Ask, Pace, Usage
from deploy.local.provider.channel import Channel
from deploy.local.provider.delivery import Delivery, Ending
from deploy.local.provider.dialects import Dialect, Events, Stamp
from deploy.local.provider.errors import RefusedError
from deploy.local.provider.faults import Fault
from deploy.local.provider.invoice import streamed
from deploy.local.provider.request import Request

SLOW_LATENCY_MS = 2_000
RETRY_AFTER_S = 1
NOTHING = Usage(0, 0, 0, 0)


def complete(channel: Channel, dialect: Dialect, request: Request, stamp: Stamp) -> bytes | Delivery:
    """Answer a completion: bytes to write at once, or a delivery."""
    book = channel.book
    book.requests += 1
    try:
        ask, fault = _admit(channel, dialect, request)
    except RefusedError as refused:
        book.statuses[refused.status] += 1
        return framing.reply(refused.status, dialect.refusal(refused, stamp))
    pace = ask.pace.over(channel.pace)
    if fault is None and pace == INSTANT:
        return _instant(channel, dialect, ask, stamp)
    return Faulty(channel, dialect, ask, stamp).deliver(fault, pace)


def _admit(channel: Channel, dialect: Dialect, request: Request) -> tuple[Ask, Fault | None]:
    """Check the request and draw its fault: a request that is refused uses up no fault."""
    body = dialect.parse(request.body)
    authorized, fault = False, None
    try:
        dialect.authorize(request.headers)
        authorized = True
        ask = _read(dialect, body)
        if channel.schedule:
            fault = channel.schedule.take()
    finally:
        channel.saw(dialect.shape(body), authorized, fault)
    if fault is not None:
        channel.book.faults[fault.kind] += 1
    return ask, fault


def _read(dialect: Dialect, body: dict[str, Any]) -> Ask:
    """What is asked for. A value of a type that nobody foresaw is the request's own fault, as it is with providers."""
    try:
        return dialect.read(body)
    except (TypeError, AttributeError, LookupError, ValueError, ArithmeticError) as error:
        raise RefusedError(400, f"A value of the request has a type that is not taken ({type(error).__name__}).") from error


def _instant(channel: Channel, dialect: Dialect, ask: Ask, stamp: Stamp) -> bytes:
    book = channel.book
    book.statuses[200] += 1
    book.tokens_sent += ask.usage.completion - ask.usage.reasoning
    book.bill(ask.model, ask.usage, stamp)
    if not ask.stream:
        body = dialect.plain(ask, stamp)
        return framing.plain_head(stamp.id, len(body), dialect.request_id_header) + body
    frames = [framing.chunk(event) for event in dialect.events(ask, stamp).events]
    return b"".join((framing.stream_head(stamp.id, dialect.request_id_header), *frames, framing.LAST_CHUNK))


class Faulty:
    """Builds the delivery of one request that a fault or a pace changes."""

    def __init__(self, channel: Channel, dialect: Dialect, ask: Ask, stamp: Stamp) -> None:
        self._channel = channel
        self._dialect = dialect
        self._ask = ask
        self._stamp = stamp

    def deliver(self, fault: Fault | None, pace: Pace) -> Delivery:
        """What goes out under `fault` (None: only the pace) and what it puts on the invoice."""
        kind = "ok" if fault is None else fault.kind
        if fault is None or kind in {"ok", "slow"}:
            return self._whole(fault, _pace_of(fault, pace))
        pace = _pace_of(fault, pace)
        if kind == "refuse":
            return self._silent(fault, pace, Ending.RESET)
        if kind == "timeout":
            return self._silent(fault, pace, Ending.HANG)
        if kind in {"cut", "malformed"}:
            return self._broken(fault, pace)
        return self._error(fault, pace)

    def _whole(self, fault: Fault | None, pace: Pace) -> Delivery:
        if not self._ask.stream:
            return self._plain(fault, pace, self._dialect.plain(self._ask, self._stamp))
        events = self._dialect.events(self._ask, self._stamp)
        return self._stream(fault, pace, events, events.events)

    def _plain(self, fault: Fault | None, pace: Pace, body: bytes) -> Delivery:
        head = framing.plain_head(self._stamp.id, len(body), self._dialect.request_id_header)
        self._channel.book.statuses[200] += 1
        return Delivery(b"", [head + body], self._billed(fault, self._ask.usage), pace)

    def _stream(self, fault: Fault | None, pace: Pace, events: Events, sent: Sequence[bytes]) -> Delivery:
        frames = [framing.chunk(event) for event in sent]
        frames[-1] += framing.LAST_CHUNK
        self._channel.book.statuses[200] += 1
        head = framing.stream_head(self._stamp.id, self._dialect.request_id_header)
        return Delivery(head, frames, self._billed_as_sent(fault, events), pace)

    def _silent(self, fault: Fault, pace: Pace, ending: Ending) -> Delivery:
        return Delivery(b"", [], self._billed(fault, None), pace, ending)

    def _error(self, fault: Fault, pace: Pace) -> Delivery:
        burned = fault.kind == "burned"
        status = fault.status or (500 if burned else int(fault.kind))
        usage = self._ask.usage if burned else None
        headers = b"%b: req_%b\r\n" % (self._dialect.request_id_header, self._stamp.id)
        retry_after_s = fault.retry_after_s
        if retry_after_s is None and status == 429:
            retry_after_s = RETRY_AFTER_S
        if retry_after_s is not None:
            headers += f"retry-after: {retry_after_s:g}\r\n".encode()
        self._channel.book.statuses[status] += 1
        reply = framing.reply(status, self._dialect.failure(status, usage, self._stamp), headers)
        return Delivery(b"", [reply], self._billed(fault, usage), pace)

    def _broken(self, fault: Fault, pace: Pace) -> Delivery:
        """`cut` ends the body early, `malformed` breaks its JSON; both begin as a reply with status 200."""
        if self._ask.stream:
            return self._broken_stream(fault, pace)
        body = self._dialect.plain(self._ask, self._stamp)
        half = body[: len(body) // 2]
        if fault.kind == "malformed":
            return self._plain(fault, pace, half)
        self._channel.book.statuses[200] += 1
        head = framing.plain_head(self._stamp.id, len(body), self._dialect.request_id_header)
        billed = self._billed(fault, self._ask.usage, sent_tokens=0)
        return Delivery(b"", [head + half], billed, pace, Ending.CLOSE)

    def _broken_stream(self, fault: Fault, pace: Pace) -> Delivery:
        events = self._dialect.events(self._ask, self._stamp)
        sent = list(events.events)
        at = min(fault.after_chunks, len(sent) - 1)
        if fault.kind == "malformed":
            sent[at] = sent[at][: len(sent[at]) // 2] + b"\n\n"
            return self._stream(fault, pace, events, sent)
        self._channel.book.statuses[200] += 1
        frames = [framing.chunk(event) for event in sent[:at]]
        billed = self._billed_as_sent(fault, events)
        return Delivery(
            framing.stream_head(self._stamp.id, self._dialect.request_id_header), frames, billed, pace, Ending.CLOSE
        )

    def _billed(self, fault: Fault | None, usage: Usage | None, sent_tokens: int | None = None) -> Callable[[int], None]:
        """Bill the same however much the client took of it: providers do, for plain replies."""
        book, model, stamp = self._channel.book, self._ask.model, self._stamp
        billed = _overridden(fault, self._ask.usage, usage)
        visible = 0 if usage is None else usage.completion - usage.reasoning
        if fault is not None and fault.kind == "burned":
            visible = 0

        def closed(sent_frames: int) -> None:
            if sent_frames:
                book.tokens_sent += visible if sent_tokens is None else sent_tokens
            if billed is not None:
                book.bill(model, billed, stamp)

        return closed

    def _billed_as_sent(self, fault: Fault | None, events: Events) -> Callable[[int], None]:
        """Bill a stream for what it had generated when it ended."""
        book, ask, stamp = self._channel.book, self._ask, self._stamp

        def closed(sent_frames: int) -> None:
            usage = streamed(ask.usage, sent_frames, events.lead, events.span)
            book.tokens_sent += usage.completion - usage.reasoning
            billed = _overridden(fault, ask.usage, usage)
            if billed is not None:
                book.bill(ask.model, billed, stamp)

        return closed


def _overridden(fault: Fault | None, whole: Usage, usual: Usage | None) -> Usage | None:
    """The usage to bill: the fault's `billed` decides where it is set (all or nothing)."""
    if fault is None or fault.billed is None:
        return usual
    return whole if fault.billed else None


def _pace_of(fault: Fault | None, pace: Pace) -> Pace:
    if fault is None:
        return pace
    slow = SLOW_LATENCY_MS if fault.kind == "slow" and fault.chunk_ms is None else 0
    latency_ms = slow if fault.latency_ms is None else fault.latency_ms
    return Pace(latency_ms, 0, fault.chunk_ms or 0).over(pace)
