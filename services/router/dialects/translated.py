"""A stream in another format, read as chat completion chunks: translated event by event, then treated as any other. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import orjson

from services.router.dialects.openai_stream import DONE, ChatStream, encode
from services.router.dialects.sse import EventSplitter, data_of
from services.router.errors import StreamMalformedError


class Translator(Protocol):
    """Turns a format's events into chunks. `ended` once no event can follow."""

    ended: bool

    def chunks(self, event: dict[str, Any]) -> Iterable[dict[str, Any]]:
        """The chunks that an event stands for; an `error` object for one that ends the stream.

        Raises :class:`StreamMalformedError`, KeyError, TypeError or ValueError for one that the format does not have.
        """
        ...


class TranslatedStream(ChatStream):
    """Reads one upstream stream of another format."""

    __slots__ = ("_translator", "_wire")

    def __init__(self, translator: Translator, choices: int, most_tokens: int) -> None:
        super().__init__(choices, most_tokens)
        self._translator = translator
        self._wire = EventSplitter()

    def feed(self, data: bytes) -> bytes:
        """The chunks that may go to the client now. Raises :class:`StreamMalformedError`."""
        chunks = b"".join([self._translated(event) for event in self._wire.feed(data)])
        return super().feed(chunks) if chunks else b""

    def _translated(self, event: bytes) -> bytes:
        data = data_of(event)
        if not data or self._translator.ended:
            return b""
        try:
            document = orjson.loads(data)
            chunks = [encode(chunk) for chunk in self._translator.chunks(document)]
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError, IndexError) as exc:
            raise StreamMalformedError(f"an event that cannot be read: {type(exc).__name__}") from None
        return b"".join(chunks) + (DONE if self._translator.ended else b"")
