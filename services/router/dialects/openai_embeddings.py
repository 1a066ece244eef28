"""OpenAI's embeddings as a dialect: what comes in goes out. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from services.router.ask import Ask
from services.router.dialects import openai
from services.router.dialects.openai import Reply
from services.router.dialects.openai_stream import ChatStream
from services.router.errors import UpstreamError
from services.router.upstream_ids import printable_id

PATH = "/embeddings"


class OpenAIEmbeddings:
    """Embeddings."""

    def path(self, upstream_model: str, *, stream: bool) -> str:
        """One endpoint for everything."""
        return PATH

    def headers(self, secret: str) -> dict[str, str]:
        """A bearer token."""
        return openai.headers_of(secret)

    def request_body(self, ask: Ask, upstream_model: str, output_cap: int) -> bytes:
        """The client's own body, with the upstream's model."""
        return openai.encoded({**ask.body, "model": upstream_model})

    def read_reply(self, body: bytes) -> Reply:
        """The reply as it is."""
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise UpstreamError("malformed_reply", "retry", status=200) from None
        return embedding_reply(document)

    def failure_of(self, status: int, body: bytes, retry_after_s: float | None) -> UpstreamError:
        """The error as it is."""
        return openai.failure_of(status, body, retry_after_s)

    def stream(self, choices: int, most_tokens: int) -> ChatStream:
        """Never asked for."""
        raise AssertionError("embeddings do not stream")


def embedding_reply(document: Any) -> Reply:
    """A list of embeddings as a reply. Raises :class:`UpstreamError` (malformed_reply) where it is none."""
    if not isinstance(document, dict):
        raise UpstreamError("malformed_reply", "retry", status=200)
    reported = document.get("usage")
    usage = openai.read_usage({**reported, "completion_tokens": 0}) if isinstance(reported, dict) else None
    upstream_id = printable_id(document.get("id"))
    data = document.get("data")
    if not isinstance(data, list) or not data or not all(_is_vector(each) for each in data):
        raise UpstreamError("malformed_reply", "retry", status=200, usage=usage, upstream_id=upstream_id)
    model = document.get("model")
    return Reply(document, usage, model if isinstance(model, str) else None, upstream_id)


def _is_vector(each: Any) -> bool:
    vector = each.get("embedding") if isinstance(each, dict) else None
    if isinstance(vector, str):
        return bool(vector)
    return isinstance(vector, list) and bool(vector) and all(type(value) in (int, float) for value in vector)
