"""Gemini's generateContent as a dialect."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import quote

import orjson

from services.router.ask import Ask
from services.router.dialects import openai
from services.router.dialects.dialect import refuse_untranslated
from services.router.dialects.gemini_reply import ContentEvents, chat_reply, error_of, retry_delay_s, usage_of
from services.router.dialects.gemini_request import translated
from services.router.dialects.openai import Reply
from services.router.dialects.openai_stream import ChatStream
from services.router.dialects.translated import TranslatedStream
from services.router.dialects.unreadable import malformed
from services.router.errors import UpstreamError


class Gemini:
    """generateContent. `clock` gives seconds since 1970 for `created`, which Gemini does not tell."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def path(self, upstream_model: str, *, stream: bool) -> str:
        """The model's own endpoint, another one for streams."""
        model = f"/models/{quote(upstream_model, safe='-._')}"
        return f"{model}:streamGenerateContent?alt=sse" if stream else f"{model}:generateContent"

    def headers(self, secret: str) -> dict[str, str]:
        """The key in a header of Google's own, never in the address."""
        return {"x-goog-api-key": secret, "content-type": "application/json", "accept-encoding": "identity"}

    def request_body(self, ask: Ask, upstream_model: str, output_cap: int) -> bytes:
        """The request as contents."""
        refuse_untranslated(ask)
        return openai.encoded(translated(ask.body, output_cap))

    def read_reply(self, body: bytes) -> Reply:
        """The candidates as a chat completion."""
        try:
            document = chat_reply(orjson.loads(body), int(self._clock()))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as exc:
            raise malformed(body, "usageMetadata", usage_of, "responseId") from exc
        return openai.reply_of(document)

    def failure_of(self, status: int, body: bytes, retry_after_s: float | None) -> UpstreamError:
        """The error in OpenAI's shape."""
        error = error_of(body)
        told_s = retry_delay_s(body) if retry_after_s is None else retry_after_s
        return openai.failure_of(status, body if error is None else orjson.dumps(error), told_s)

    def stream(self, choices: int, most_tokens: int) -> ChatStream:
        """The events as chunks."""
        return TranslatedStream(ContentEvents(int(self._clock()), choices), choices, most_tokens)
