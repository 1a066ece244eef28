"""An upstream's stream after its first chunk has come."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

from services.router.dialects.openai_stream import ChatStream


class OpenStream:
    """A stream under way. `first` holds the bytes that may go to the client at once."""

    __slots__ = ("_response", "chunks", "first", "parts")

    def __init__(self, response: httpx.Response, parts: AsyncIterator[bytes], chunks: ChatStream, first: bytes) -> None:
        self._response = response
        self.parts = parts
        self.chunks = chunks
        self.first = first

    async def close(self) -> None:
        """Give the connection back; one that still has something to say is closed."""
        await self._response.aclose()
