"""The thin layer under both APIs: tokens, bounded bodies, JSON replies in the one error shape."""

import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

import orjson
import psycopg
import structlog
from psycopg_pool import PoolTimeout
from pydantic import ValidationError

from services.settlement.errors import ApiError, BadInputError, InvalidError, TooLargeError, UnauthorizedError, UnavailableError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 4 << 20
log = structlog.get_logger(__name__)
_JSON_TYPE = (b"content-type", b"application/json")


class Tokens:
    """The bearer tokens that open a door. An unset token opens nothing."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._expected = [f"Bearer {token}".encode() for token in tokens if token]

    def known(self, authorization: bytes | None) -> bool:
        """Whether the header carries one of the tokens."""
        given = authorization or b""
        return any([hmac.compare_digest(given, expected) for expected in self._expected])

    def check(self, authorization: bytes | None) -> None:
        """Raise UnauthorizedError unless the header carries one of the tokens."""
        if not self.known(authorization):
            raise UnauthorizedError("a valid service token is needed: Authorization: Bearer <token>")


def header(scope: Scope, name: bytes) -> bytes | None:
    """A request header by its lower-case name."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


async def read_body(receive: Receive, bound: int = MAX_BODY_BYTES) -> bytes:
    """The whole body. Raises TooLargeError over the bound, BadInputError when the caller went away."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body") and len(message.get("body", b"")) <= bound:
        return bytes(message.get("body", b""))
    chunks, size = [], 0
    while True:
        if message["type"] == "http.disconnect":
            raise BadInputError("the caller went away")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > bound:
            raise TooLargeError(f"the body is larger than {bound} bytes")
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)
        message = await receive()


async def send_body(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    """One reply of any type."""
    named = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": [*named, _length(body)]})
    await send({"type": "http.response.body", "body": body})


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", str(len(body)).encode()


async def send_json(send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """One JSON reply."""
    await send({"type": "http.response.start", "status": status, "headers": [_JSON_TYPE, _length(body), *headers]})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: Exception) -> None:
    """The reply that an exception stands for."""
    refusal = api_error(error)
    retry = [(b"retry-after", b"1")] if refusal.status == UnavailableError.status else []
    await send_json(send, refusal.status, orjson.dumps(refusal.body()), retry)


def api_error(error: Exception) -> ApiError:
    """The one table from other libraries' errors to ours; what it does not know is a defect: logged, and answered with 500."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ValidationError):
        return _invalid(error)
    if isinstance(error, psycopg.DataError):
        return InvalidError("a value is outside of what the ledger can keep")
    if isinstance(error, psycopg.Error | PoolTimeout):
        return UnavailableError("the ledger's database did not answer: ask again")
    log.error("defect", error=type(error).__name__, exc_info=error)
    return ApiError("Tollbook failed; the defect is logged")


def _invalid(error: ValidationError) -> ApiError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return BadInputError("the body is not JSON", code="invalid_json")
    param = ".".join(str(part) for part in first["loc"])
    return InvalidError(f"{param}: {first['msg']}", param=param)


def bounded(app: Asgi, bound: int = MAX_BODY_BYTES) -> Asgi:
    """The application behind a bound for request bodies: a larger one is answered with 413 before it is read."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD"}:
            await app(scope, receive, send)
            return
        try:
            body = await read_body(receive, bound)
        except ApiError as error:
            await send_error(send, error)
            return
        unread = [{"type": "http.request", "body": body}]

        async def replay() -> MutableMapping[str, Any]:
            return unread.pop() if unread else await receive()

        await app(scope, replay, send)

    return guarded


def refuse_nul(body: bytes) -> None:
    """Raise InvalidError for a NUL character, which Postgres cannot keep."""
    if b"\\u0000" in body or b"\x00" in body:
        raise InvalidError("the body has a NUL character")
