"""An upstream's stream after its first chunk has come."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

from services.router.redaction import safe_id
from services.router.stream_reader import StreamReader
from services.router.upstream_ids import header_id


class OpenStream:
    """A stream under way. `first` holds the bytes that may go to the client at once."""

    __slots__ = ("_key", "_response", "chunks", "first", "parts")

    def __init__(
        self, response: httpx.Response, parts: AsyncIterator[bytes], chunks: StreamReader, first: bytes, key: str = ""
    ) -> None:
        self._key = key
        self._response = response
        self.parts = parts
        self.chunks = chunks
        self.first = first

    @property
    def upstream_id(self) -> str | None:
        """The provider's id of the reply."""
        return safe_id(self.chunks.upstream_id or header_id(self._response.headers), self._key)

    async def close(self) -> None:
        """Give the connection back; one that still has something to say is closed."""
        await self._response.aclose()
