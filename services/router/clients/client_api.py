"""What router asks of an API that clients speak. Inside, requests and replies have the shape of chat completions. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from services.router.ask import Ask
from services.router.dialects.openai import Reply
from services.router.dialects.openai_stream import ChatStream
from services.router.stream_reader import StreamReader


class ClientApi(Protocol):
    """One API."""

    @property
    def path(self) -> str:
        """Where edge passes its requests on to."""
        ...

    @property
    def names(self) -> Mapping[str, str]:
        """What this API calls the parameters of chat completions that have another name in it."""
        ...

    def parse(self, body: bytes) -> Ask:
        """The request in the body. Raises :class:`RefusalError` (400) naming the parameter at fault."""
        ...

    def plain(self, ask: Ask, reply: Reply, document: dict[str, Any], cost: dict[str, str]) -> bytes:
        """The body of a plain reply. `document` is the chat completion, priced. Raises TypeError for one nested too deeply."""
        ...

    def stream(self, ask: Ask, chunks: ChatStream) -> StreamReader:
        """A stream whose bytes are in this API's shape."""
        ...
