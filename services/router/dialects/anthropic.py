"""Anthropic's messages as a dialect."""

from __future__ import annotations

import time
from collections.abc import Callable

import orjson

from services.router.ask import Ask
from services.router.dialects import openai
from services.router.dialects.anthropic_reply import MessageEvents, chat_reply, error_of, usage_of
from services.router.dialects.anthropic_request import native, translated
from services.router.dialects.dialect import refuse_untranslated
from services.router.dialects.openai import Reply
from services.router.dialects.openai_stream import ChatStream
from services.router.dialects.translated import TranslatedStream
from services.router.dialects.unreadable import malformed
from services.router.errors import UpstreamError

VERSION = "2023-06-01"
PATH = "/messages"


class Anthropic:
    """Messages. `clock` gives seconds since 1970 for `created`, which Anthropic does not tell."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def path(self, upstream_model: str, *, stream: bool) -> str:
        """One endpoint for everything."""
        return PATH

    def headers(self, secret: str) -> dict[str, str]:
        """The key in a header of Anthropic's own."""
        return {
            "x-api-key": secret,
            "anthropic-version": VERSION,
            "content-type": "application/json",
            "accept-encoding": "identity",
        }

    def request_body(self, ask: Ask, upstream_model: str, output_cap: int) -> bytes:
        """The request as messages: the client's own where it speaks them, with the model and the hold's cap."""
        if ask.client_api == "messages" and ask.native is not None:
            return openai.encoded(native(ask.native, upstream_model, output_cap))
        refuse_untranslated(ask)
        return openai.encoded(translated(ask.body, upstream_model, output_cap, stream=ask.stream))

    def read_reply(self, body: bytes) -> Reply:
        """The message as a chat completion."""
        try:
            message = orjson.loads(body)
            document = chat_reply(message, int(self._clock()))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as exc:
            raise malformed(body, "usage", usage_of) from exc
        return openai.reply_of(document)._replace(native=message, spoken="messages")

    def failure_of(self, status: int, body: bytes, retry_after_s: float | None) -> UpstreamError:
        """The error in OpenAI's shape."""
        error = error_of(body)
        return openai.failure_of(status, body if error is None else orjson.dumps(error), retry_after_s)

    def stream(self, choices: int, most_tokens: int) -> ChatStream:
        """The events as chunks."""
        return TranslatedStream(MessageEvents(int(self._clock())), choices, most_tokens)
