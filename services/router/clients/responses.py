"""OpenAI's responses as a client API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from services.router.ask import Ask, ask_of
from services.router.clients.responses_native import NativeResponseStream
from services.router.clients.responses_reply import response_of, usage_of
from services.router.clients.responses_request import chat_request
from services.router.clients.responses_stream import ResponseStream
from services.router.dialects.openai import Reply
from services.router.dialects.openai_responses_stream import ResponsesUpstream
from services.router.dialects.openai_stream import ChatStream
from services.router.errors import RefusalError
from services.router.stream_reader import StreamReader


class Responses:
    """`POST /v1/responses`."""

    path = "/internal/v1/responses"
    names: Mapping[str, str] = {
        "messages": "input",
        "max_tokens": "max_output_tokens",
        "response_format": "text.format",
        "verbosity": "text.verbosity",
        "reasoning_effort": "reasoning.effort",
        "logprobs": "include",
    }

    def parse(self, body: bytes) -> Ask:
        """The request; `native` is the client's own, for a provider that speaks responses too."""
        try:
            native, chat, untranslated = chat_request(body)
            ask = ask_of(chat, len(body))
        except (TypeError, KeyError, AttributeError) as exc:
            raise RefusalError(400, "invalid_value", "A value of the request has another type than responses take.") from exc
        return replace(ask, client_api="responses", native=native, untranslated=untranslated)

    def plain(self, ask: Ask, reply: Reply, document: dict[str, Any], cost: dict[str, str]) -> bytes:
        """The response: the provider's own where it is one."""
        if reply.native is None or reply.spoken != "responses":
            try:
                return orjson.dumps(response_of(document, ask.native or {}))
            except (KeyError, ValueError, IndexError, AttributeError) as exc:
                raise TypeError("a reply that is no response") from exc
        native = dict(reply.native)
        reported = native.get("usage")
        native["usage"] = {**(reported if isinstance(reported, dict) else usage_of(document["usage"])), **cost}
        return orjson.dumps(native)

    def stream(self, ask: Ask, chunks: ChatStream) -> StreamReader:
        """The events: the provider's own where it speaks responses."""
        if isinstance(chunks, ResponsesUpstream):
            return NativeResponseStream(chunks, ask.native or {})
        return ResponseStream(chunks, ask.native or {})
