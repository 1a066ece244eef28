"""Gemini's wire format: batchEmbedContents. Shapes as in the reference of the Gemini API (`BatchEmbedContentsResponse`,
`ContentEmbedding`, `EmbeddingUsageMetadata`)."""

from __future__ import annotations

import re
from typing import Any

import orjson

from deploy.local.provider.ask import Ask, Shape, Usage
from deploy.local.provider.dialects import Stamp
from deploy.local.provider.dialects.gemini import Gemini
from deploy.local.provider.errors import RefusedError
from deploy.local.provider.phrase import scripted
from deploy.local.provider.tokens import CHARS_PER_TOKEN, count, text_hash
from deploy.local.provider.vectors import Vectors, dimensions_of, vector

REQUESTS_MAX = 100
_PATH = re.compile(rb"v1(?:beta)?/models/([A-Za-z0-9._-]{1,128}):batchEmbedContents")


class GeminiEmbeddings(Gemini):
    """The `Dialect` of batchEmbedContents."""

    models_paths: tuple[bytes, ...] = ()

    def at(self, path: bytes, query: bytes) -> GeminiEmbeddings | None:
        """The model stands in the path."""
        found = _PATH.fullmatch(path)
        return None if found is None else GeminiEmbeddings(found[1].decode(), query=query)

    def shape(self, body: dict[str, Any]) -> Shape:
        """Form without text; the inputs count as messages."""
        requests = body.get("requests")
        return super().shape(body)._replace(messages=len(requests) if type(requests) is list else 0)

    def read(self, body: dict[str, Any]) -> Ask:
        """Decide the reply."""
        requests = body.get("requests")
        if type(requests) is not list or not requests:
            raise RefusedError(400, "* BatchEmbedContentsRequest.requests: contents is not specified", param="requests")
        if len(requests) > REQUESTS_MAX:
            message = f"* BatchEmbedContentsRequest.requests: at most {REQUESTS_MAX} requests can be in one batch"
            raise RefusedError(400, message, param="requests")
        texts = [self._text(request) for request in requests]
        script = scripted("".join(texts), {})
        prompt = sum(-(-len(text) // CHARS_PER_TOKEN) for text in texts)
        counted = count(script._replace(output_tokens=0), prompt, 0, None, 1)
        vectors = Vectors(tuple([text_hash(text) for text in texts]), _dimensions(requests, self._model))
        usage = Usage(counted.usage.prompt, 0, 0, 0)
        return Ask(self._model, usage, 0, 0, 1, "stop", False, False, False, None, script.pace, vectors=vectors)

    def plain(self, ask: Ask, stamp: Stamp) -> bytes:
        """A `BatchEmbedContentsResponse`."""
        vectors = ask.vectors or Vectors((), 0)
        embeddings = [{"values": vector(digest, vectors.dimensions)} for digest in vectors.digests]
        return orjson.dumps({"embeddings": embeddings, "usageMetadata": {"promptTokenCount": ask.usage.prompt}})

    def _text(self, request: Any) -> str:
        if type(request) is not dict or request.get("model") != f"models/{self._model}":
            raise RefusedError(400, f"* EmbedContentRequest.model: expected models/{self._model}", param="requests")
        content = request.get("content")
        parts = content.get("parts") if type(content) is dict else None
        texts = [part.get("text") for part in parts if type(part) is dict] if type(parts) is list else []
        if not texts or not all(type(text) is str and text for text in texts):
            raise RefusedError(400, "* EmbedContentRequest.content: contents is not specified", param="requests")
        return "".join([str(text) for text in texts])


def _dimensions(requests: list[Any], model: str) -> int:
    most = dimensions_of(model)
    wanted = requests[0].get("outputDimensionality", most)
    if type(wanted) is not int or not 1 <= wanted <= most:
        raise RefusedError(400, f"* EmbedContentRequest.output_dimensionality: expected 1 to {most}", param="requests")
    return wanted
