"""Reading a request's body within its bounds of size and time."""

import asyncio
from collections.abc import Mapping
from typing import NoReturn

from starlette.types import Receive

from services.edge.errors import BodyTimeoutError, BodyTooLargeError, ClientGoneError

DRAIN_FACTOR = 4
"""A body that is too large is read and thrown away up to this many times the limit, so that the client hears why."""


class BodyReader:
    """Reads bodies of at most `limit_bytes`, whole within `timeout_s`, whether their length was declared or chunked."""

    def __init__(self, *, limit_bytes: int, timeout_s: float) -> None:
        self._limit_bytes = limit_bytes
        self._timeout_s = timeout_s

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """The body. Raises :class:`BodyTooLargeError`, :class:`BodyTimeoutError`, :class:`ClientGoneError`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                if _declared_length(headers) > self._limit_bytes:
                    await self._refuse(0, receive)
                return await self._collect(receive)
        except TimeoutError:
            raise BodyTimeoutError(self._timeout_s) from None

    async def _collect(self, receive: Receive) -> bytes:
        chunk, more = await _next_chunk(receive)
        if not more and len(chunk) <= self._limit_bytes:
            return chunk
        chunks, size = [chunk], len(chunk)
        while more or size > self._limit_bytes:
            if size > self._limit_bytes:
                await self._refuse(size, receive, more=more)
            chunk, more = await _next_chunk(receive)
            chunks.append(chunk)
            size += len(chunk)
        return b"".join(chunks)

    async def _refuse(self, size: int, receive: Receive, *, more: bool = True) -> NoReturn:
        """Throw the rest away up to a bound, then say that it was too much."""
        while more and size <= DRAIN_FACTOR * self._limit_bytes:
            chunk, more = await _next_chunk(receive)
            size += len(chunk)
        raise BodyTooLargeError(self._limit_bytes)


async def _next_chunk(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    return message.get("body", b""), message.get("more_body", False)


def _declared_length(headers: Mapping[bytes, bytes]) -> int:
    """The content length that the client declared, 0 where it declared none."""
    raw = headers.get(b"content-length", b"0")
    return int(raw) if raw.isdigit() else 0
