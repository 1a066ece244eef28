"""A stream in another format, read as chat completion chunks: translated event by event, then treated as any other. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import orjson

from schemas.money import Usage
from services.router.dialects.openai_stream import DONE, ChatStream, encode
from services.router.dialects.sse import EventSplitter, data_of
from services.router.errors import StreamMalformedError


class Translator(Protocol):
    """Turns a format's events into chunks. `ended` once no event can follow.

    `tokens_told` is the output so far by the upstream's own count, 0 where it counts only at the end; `prompt_told` is what it
    says of the prompt before the end.
    """

    ended: bool
    tokens_told: int
    prompt_told: Usage | None

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
        seen = self.tokens_seen
        try:
            return b"".join([self._taken(event) for event in self._wire.feed(data)])
        except StreamMalformedError:
            # What came with the malformed event does not go on: it must not be charged either.
            self.tokens_seen = seen
            raise

    def _taken(self, event: bytes) -> bytes:
        """An event of many tokens looks like one: where the upstream counts as it goes, its own count tells how far it is."""
        if self.capped:
            return b""
        chunks = self._translated(event)
        out = super().feed(chunks) if chunks else b""
        self.prompt = self._translator.prompt_told
        self.tokens_seen = max(self.tokens_seen, self._translator.tokens_told)
        self.capped = self.capped or (self.tokens_seen > self._most_tokens and not self._translator.ended)
        return out

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
