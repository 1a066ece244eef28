"""OpenAI's chat completions as a client API: everything as it is inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from services.router.ask import Ask, parse_ask
from services.router.dialects.openai import Reply
from services.router.dialects.openai_stream import ChatStream


class ChatCompletions:
    """`POST /v1/chat/completions`."""

    path = "/internal/v1/chat/completions"
    names: Mapping[str, str] = {}

    def parse(self, body: bytes) -> Ask:
        """The request."""
        return parse_ask(body)

    def plain(self, ask: Ask, reply: Reply, document: dict[str, Any], cost: dict[str, str]) -> bytes:
        """The chat completion."""
        return orjson.dumps(document)

    def stream(self, ask: Ask, chunks: ChatStream) -> ChatStream:
        """The chunks."""
        return chunks
