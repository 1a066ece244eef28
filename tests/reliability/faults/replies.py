"""Replies of an upstream, bent: cut, doubled, reordered, huge, malformed, with absurd counts. The same for the same seed."""

from __future__ import annotations

import re
from random import Random

import orjson

NUMBER = re.compile(rb":\s*\d+")
COUNTS = (b":-1", b":0", b":1.5", b":null", b':"7"', b":99999", b":1e3", b":[]", b":999999999999999999999")
JUNK_EVENTS = (
    b"data: {}\n\n", b"data: []\n\n", b"data: null\n\n", b"data: {\n\n", b": ping\n\n", b"event: x\ndata: y\n\n", b"data:\n\n",
    b'data: {"error":{"message":"no"}}\n\n', b'data: {"error":1}\n\n', b"data: [DONE]\n\n", b"\xff\xfe\n\n", b"\r\n\r\n",
    b'data: {"choices":[]}\n\n', b'data: {"choices":[{"index":7,"delta":{"content":"x"}}]}\n\n',
    b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"x"}}\n\n',
    b'data: {"type":"message_stop"}\n\n', b'data: {"candidates":[{}]}\n\n', b'data: {"usageMetadata":{}}\n\n',
)  # fmt: skip
HUGE = 300_000
STATUSES = (200, 200, 200, 200, 200, 200, 200, 201, 204, 301, 400, 404, 429, 500, 503, 529)
DEEP = b'{"a":' * 600 + b"1" + b"}" * 600


def reply(draw: Random, sound: bytes, *, stream: bool) -> bytes:
    """The bytes of a whole HTTP reply, made of the body of a sound one."""
    body = sound
    for _ in range(draw.choice((0, 1, 1, 1, 2, 3))):
        body = _bent_stream(draw, body) if stream else _bent_body(draw, body)
    return _framed(draw, body, stream=stream)


def _bent_stream(draw: Random, body: bytes) -> bytes:
    events = [each + b"\n\n" for each in body.split(b"\n\n") if each]
    if not events:
        return body
    at = draw.randrange(len(events))
    match draw.randrange(9):
        case 0:
            return body[: draw.randrange(len(body))]
        case 1:
            draw.shuffle(events)
        case 2:
            events.insert(at, events[draw.randrange(len(events))])
        case 3:
            del events[at]
        case 4:
            events.insert(at, draw.choice(JUNK_EVENTS))
        case 5:
            events[at] = (
                events[at]
                .replace(b'"content":"', b'"content":"' + b"word " * (HUGE // 5))
                .replace(b'"text":"', b'"text":"' + b"word " * (HUGE // 5))
            )
        case 6:
            events[at] = _counted(draw, events[at])
        case 7:
            events = events[:at] + events[at:] * 3
        case _:
            return _bytes(draw, body)
    return b"".join(events)


def _bent_body(draw: Random, body: bytes) -> bytes:
    match draw.randrange(6):
        case 0:
            return body[: draw.randrange(len(body) or 1)]
        case 1:
            return draw.choice((b"", b"null", b"[]", b"{}", b"1", b"<html></html>", b"\xff" * 100, DEEP))
        case 2 | 3:
            return _counted(draw, body)
        case 4:
            return body.replace(b'"content":', b'"content":' + draw.choice((b"1,", b"[],", DEEP + b",")), 1)
        case _:
            return _bytes(draw, body)


def _counted(draw: Random, text: bytes) -> bytes:
    """One number, or every one of them, is another."""
    count = draw.choice((0, 1))
    if not count:
        return NUMBER.sub(lambda _: draw.choice(COUNTS), text)
    found = list(NUMBER.finditer(text))
    if not found:
        return text
    one = draw.choice(found)
    return text[: one.start()] + draw.choice(COUNTS) + text[one.end() :]


def _bytes(draw: Random, body: bytes) -> bytes:
    at = draw.randrange(len(body) or 1)
    return body[:at] + draw.randbytes(draw.choice((1, 1, 40))) + body[at + draw.choice((0, 1)) :]


def _framed(draw: Random, body: bytes, *, stream: bool) -> bytes:
    kind = draw.choice(("text/event-stream", "application/json", "text/html", "")) if draw.random() < 0.1 else None
    kind = kind if kind is not None else "text/event-stream" if stream else "application/json"
    status = draw.choice(STATUSES)
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\n"
    if status == 429:
        head += draw.choice(("retry-after: 0.01\r\n", "retry-after: never\r\n", "retry-after: -5\r\n"))
    match draw.randrange(10):
        case 0:
            return head.encode() + b"content-length: %d\r\n\r\n" % (len(body) + 50) + body
        case 1:
            return head.encode() + b"content-length: %d\r\n\r\n" % (len(body) // 2) + body
        case 2:
            return head.encode() + b"transfer-encoding: chunked\r\n\r\nzz\r\n" + body
        case 3:
            return b"%b\r\n" % draw.randbytes(60) + body
        case _:
            return head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body


def sound_error(status: int) -> bytes:
    """What an error of a provider looks like."""
    return orjson.dumps({"error": {"message": "no", "type": "server_error", "code": str(status)}})
