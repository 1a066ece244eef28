"""Anthropic's messages as a client API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from services.router.ask import Ask, ask_of
from services.router.clients.messages_reply import message_of, usage_of
from services.router.clients.messages_request import chat_request
from services.router.clients.messages_stream import MessageStream
from services.router.dialects.openai import Reply
from services.router.dialects.openai_stream import ChatStream
from services.router.errors import RefusalError


class Messages:
    """`POST /v1/messages`."""

    path = "/internal/v1/messages"
    names: Mapping[str, str] = {
        "stop": "stop_sequences",
        "response_format": "output_config.format",
        "reasoning_effort": "thinking",
        "user": "metadata.user_id",
        "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    }

    def parse(self, body: bytes) -> Ask:
        """The request; `native` is the client's own, for a provider that speaks messages too."""
        try:
            native, chat, untranslated = chat_request(body)
            ask = ask_of(chat, len(body))
        except (TypeError, KeyError, AttributeError) as exc:
            raise RefusalError(400, "invalid_value", "A value of the request has another type than messages take.") from exc
        return replace(ask, client_api="messages", native=native, untranslated=untranslated)

    def plain(self, ask: Ask, reply: Reply, document: dict[str, Any], cost: dict[str, str]) -> bytes:
        """The message: the provider's own where it is one."""
        if reply.native is None or reply.spoken != "messages":
            try:
                return orjson.dumps(message_of(document))
            except (KeyError, ValueError, IndexError, AttributeError) as exc:
                raise TypeError("a reply that is no message") from exc
        native = dict(reply.native)
        reported = native.get("usage")
        native["usage"] = {**(reported if isinstance(reported, dict) else usage_of(document["usage"])), **cost}
        return orjson.dumps(native)

    def stream(self, ask: Ask, chunks: ChatStream) -> MessageStream:
        """The events."""
        return MessageStream(chunks)
