"""OpenAI's responses as a dialect."""

from __future__ import annotations

import orjson

from services.router.ask import Ask
from services.router.dialects import openai
from services.router.dialects.dialect import no_meaning, refuse_untranslated
from services.router.dialects.openai import Reply
from services.router.dialects.openai_responses_reply import chat_reply, failure_in, usage_of
from services.router.dialects.openai_responses_request import native, translated
from services.router.dialects.openai_responses_stream import ResponsesUpstream
from services.router.dialects.openai_stream import ChatStream
from services.router.dialects.unreadable import malformed
from services.router.errors import UpstreamError

PATH = "/responses"
LEAST_OUTPUT = 16
"""The smallest cap that OpenAI takes here."""


class OpenAIResponses:
    """Responses."""

    def path(self, upstream_model: str, *, stream: bool) -> str:
        """One endpoint for everything."""
        return PATH

    def headers(self, secret: str) -> dict[str, str]:
        """A bearer token."""
        return openai.headers_of(secret)

    def request_body(self, ask: Ask, upstream_model: str, output_cap: int) -> bytes:
        """The client's own request where it is one of responses, or its translation; with the hold's cap, never stored."""
        if output_cap < LEAST_OUTPUT:
            raise no_meaning("max_tokens", f"The provider of this route takes max_tokens of {LEAST_OUTPUT} at least.")
        if ask.client_api == "responses" and ask.native is not None:
            return openai.encoded(native(ask.native, upstream_model, output_cap))
        refuse_untranslated(ask)
        return openai.encoded(translated(ask.body, upstream_model, output_cap, stream=ask.stream))

    def read_reply(self, body: bytes) -> Reply:
        """The response as a chat completion."""
        try:
            response = orjson.loads(body)
            failure = failure_in(response)
            document = None if failure is not None else chat_reply(response)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as exc:
            raise malformed(body, "usage", usage_of) from exc
        if document is None:
            assert failure is not None
            raise failure
        return openai.reply_of(document)._replace(native=response, spoken="responses")

    def failure_of(self, status: int, body: bytes, retry_after_s: float | None) -> UpstreamError:
        """The error as it is."""
        return openai.failure_of(status, body, retry_after_s)

    def stream(self, choices: int, most_tokens: int) -> ChatStream:
        """The events as chunks."""
        return ResponsesUpstream(choices, most_tokens)
