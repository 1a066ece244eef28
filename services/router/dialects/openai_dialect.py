"""OpenAI's chat completions as a dialect: what comes in goes out, bounded and asked for its usage."""

from __future__ import annotations

from dataclasses import replace

from services.router.ask import Ask
from services.router.dialects import openai
from services.router.dialects.dialect import refuse_untranslated
from services.router.dialects.openai import Reply
from services.router.dialects.openai_stream import ChatStream
from services.router.errors import UpstreamError


class OpenAI:
    """Chat completions."""

    def path(self, upstream_model: str, *, stream: bool) -> str:
        """One endpoint for everything."""
        return openai.PATH

    def headers(self, secret: str) -> dict[str, str]:
        """A bearer token."""
        return openai.headers_of(secret)

    def request_body(self, ask: Ask, upstream_model: str, output_cap: int) -> bytes:
        """The client's own body, or what it means as a chat completion."""
        refuse_untranslated(ask)
        if ask.native is not None:
            ask = replace(ask, body=openai.without_others(ask.body))
        return openai.request_body(ask, upstream_model, output_cap)

    def read_reply(self, body: bytes) -> Reply:
        """The reply as it is."""
        return openai.read_reply(body)

    def failure_of(self, status: int, body: bytes, retry_after_s: float | None) -> UpstreamError:
        """The error as it is."""
        return openai.failure_of(status, body, retry_after_s)

    def stream(self, choices: int, most_tokens: int) -> ChatStream:
        """The stream as it is."""
        return ChatStream(choices, most_tokens)
