"""A stream in a client API's own shape, read from chat completion chunks. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import orjson

from schemas.money import Usage
from services.router.dialects.openai_stream import ChatStream
from services.router.dialects.sse import EventSplitter, data_of
from services.router.errors import StreamMalformedError

Json = dict[str, Any]


class ClientStream(ABC):
    """Reads chunks through a `ChatStream`, which knows all that delivering and settling need; what is written is the heir's."""

    def __init__(self, chunks: ChatStream) -> None:
        self._chunks = chunks
        self._wire = EventSplitter()

    @property
    def tokens_seen(self) -> int:
        """As of the chunks."""
        return self._chunks.tokens_seen

    @property
    def capped(self) -> bool:
        """As of the chunks."""
        return self._chunks.capped

    @property
    def done(self) -> bool:
        """As of the chunks."""
        return self._chunks.done

    @property
    def started(self) -> bool:
        """As of the chunks."""
        return self._chunks.started

    @property
    def error(self) -> Json | None:
        """As of the chunks."""
        return self._chunks.error

    @property
    def usage(self) -> Usage | None:
        """As of the chunks."""
        return self._chunks.usage

    @property
    def prompt(self) -> Usage | None:
        """As of the chunks."""
        return self._chunks.prompt

    @property
    def upstream_id(self) -> str | None:
        """As of the chunks."""
        return self._chunks.upstream_id

    @property
    def complete(self) -> bool:
        """As of the chunks."""
        return self._chunks.complete

    def feed(self, data: bytes) -> bytes:
        """The events that may go to the client now. Raises :class:`StreamMalformedError`."""
        return self._written(self._chunks.feed(data))

    def ending(self, usage: Usage, cost: dict[str, str], *, include_usage: bool, capped: bool = False) -> bytes:
        """The end: its reason and its usage, which these APIs always have."""
        return self._written(self._chunks.ending(usage, cost, include_usage=True, capped=capped)) + self._end()

    @abstractmethod
    def failure(self, document: Json) -> bytes:
        """The event that ends a stream which broke."""

    @abstractmethod
    def _write(self, chunk: Json) -> bytes:
        """The events that a chunk stands for."""

    @abstractmethod
    def _end(self) -> bytes:
        """The last events."""

    def _written(self, chunks: bytes) -> bytes:
        written = []
        for each in self._wire.feed(chunks):
            data = data_of(each)
            if not data or data == b"[DONE]":
                continue
            try:
                written.append(self._write(orjson.loads(data)))
            except (ValueError, KeyError, TypeError, AttributeError, IndexError) as exc:
                raise StreamMalformedError(f"a chunk that cannot be read: {type(exc).__name__}") from None
        return b"".join(written)
