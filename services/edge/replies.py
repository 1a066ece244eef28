"""Small ASGI replies: JSON, text and errors, without a framework in between."""

from collections.abc import Sequence
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from services.edge.errors import ApiError

JSON_TYPE = (b"content-type", b"application/json")
TEXT_TYPE = (b"content-type", b"text/plain; charset=utf-8")


async def send_reply(send: Send, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = (JSON_TYPE,)) -> None:
    """Send a whole reply."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: ApiError, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """Send an error in OpenAI's shape."""
    await send_reply(send, error.status, error.body(), [JSON_TYPE, *error.headers(), *headers])


class Reply:
    """A finished reply as an ASGI application."""

    def __init__(self, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = (JSON_TYPE,)) -> None:
        self.status = status
        self.body = body
        self.headers = headers

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send_reply(send, self.status, self.body, self.headers)


def json_reply(value: Any, status: int = 200) -> Reply:
    """A value as JSON."""
    return Reply(status, orjson.dumps(value), [JSON_TYPE])
