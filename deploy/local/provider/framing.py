"""HTTP/1.1 on the wire: heads, chunks of a chunked body, whole replies."""

from __future__ import annotations

from http import HTTPStatus

import orjson

JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"
LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_PLAIN_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n%b: req_%b\r\ncontent-length: %d\r\n\r\n"
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\n%b: req_%b\r\ntransfer-encoding: chunked\r\n\r\n"
)


def plain_head(request_id: bytes, length: int, header: bytes = b"x-request-id") -> bytes:
    """The head of a JSON reply of `length` bytes with status 200; `header` names the request's id."""
    return _PLAIN_HEAD % (header, request_id, length)


def stream_head(request_id: bytes, header: bytes = b"x-request-id") -> bytes:
    """The head of a chunked event stream with status 200."""
    return _STREAM_HEAD % (header, request_id)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; `data` is not empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def reply(status: int, body: bytes, headers: bytes = b"") -> bytes:
    """A whole JSON reply. `headers` are further header lines, each ended by CRLF."""
    line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d Error\r\n" % status
    return b"%bcontent-type: %b\r\n%bcontent-length: %d\r\n\r\n%b" % (
        line,
        JSON,
        headers,
        len(body),
        body,
    )


def json_reply(status: int, value: object) -> bytes:
    """A whole reply with `value` as JSON."""
    return reply(status, orjson.dumps(value))


def text_reply(text: str) -> bytes:
    """A whole reply with a CSV file."""
    body = text.encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/csv; charset=utf-8\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def closing(head: bytes) -> bytes:
    """The same head, or reply, with `connection: close` in it."""
    return head.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)
