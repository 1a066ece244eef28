"""Gemini's batchEmbedContents as a dialect of embeddings. Pure."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson

from services.router.ask import Ask
from services.router.dialects import openai
from services.router.dialects.dialect import no_meaning
from services.router.dialects.gemini import Gemini
from services.router.dialects.gemini_reply import usage_of
from services.router.dialects.openai import Reply
from services.router.dialects.openai_embeddings import embedding_reply
from services.router.dialects.unreadable import malformed
from services.router.embedding_ask import inputs_of

BATCH_MAX = 100
NEUTRAL = frozenset({"model", "input", "encoding_format", "dimensions", "user"})
"""What is translated, or asks for nothing of the provider."""


class GeminiEmbeddings(Gemini):
    """batchEmbedContents: one list for one input too."""

    def path(self, upstream_model: str, *, stream: bool) -> str:
        """The model's own endpoint."""
        return f"/models/{quote(upstream_model, safe='-._')}:batchEmbedContents"

    def request_body(self, ask: Ask, upstream_model: str, output_cap: int) -> bytes:
        """A request for each input."""
        for name, value in ask.body.items():
            if name not in NEUTRAL and value is not None:
                raise no_meaning(name, f"{name} has no meaning for the provider of this route.")
        inputs = inputs_of(ask.body["input"])
        if len(inputs) > BATCH_MAX:
            raise no_meaning("input", f"The provider of this route takes at most {BATCH_MAX} inputs at once.")
        return openai.encoded({"requests": [_request(each, upstream_model, ask.body) for each in inputs]})

    def read_reply(self, body: bytes) -> Reply:
        """The vectors as OpenAI lists them."""
        try:
            document = orjson.loads(body)
            data = [_listed(index, each) for index, each in enumerate(document["embeddings"])]
            counts = usage_of(document.get("usageMetadata"))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as exc:
            raise malformed(body, "usageMetadata", usage_of, "responseId") from exc
        return embedding_reply({"object": "list", "data": data, "model": "gemini", "usage": counts})


def _request(text: Any, upstream_model: str, body: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(text, str):
        raise no_meaning("input", "The provider of this route takes texts only: tokens belong to one model.")
    request: dict[str, Any] = {"model": f"models/{upstream_model}", "content": {"parts": [{"text": text}]}}
    if body.get("dimensions") is not None:
        request["outputDimensionality"] = body["dimensions"]
    return request


def _listed(index: int, embedding: dict[str, Any]) -> dict[str, Any]:
    return {"object": "embedding", "index": index, "embedding": embedding["values"]}
