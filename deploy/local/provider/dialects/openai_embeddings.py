"""OpenAI's wire format: embeddings. Shapes as in the official `openai` package's types (`types/embedding*.py`)."""

from __future__ import annotations

from typing import Any

import orjson

from deploy.local.provider.ask import Ask, Shape, Usage
from deploy.local.provider.dialects import Events, Stamp
from deploy.local.provider.dialects.openai import OpenAI
from deploy.local.provider.errors import RefusedError
from deploy.local.provider.phrase import scripted
from deploy.local.provider.tokens import CHARS_PER_TOKEN, count, text_hash
from deploy.local.provider.vectors import Vectors, dimensions_of, packed, vector

INPUTS_MAX = 2048
INPUT_TOKENS_MAX = 8192


class OpenAIEmbeddings(OpenAI):
    """The `Dialect` of `/embeddings`."""

    id_prefix = b"embd-"
    models_paths: tuple[bytes, ...] = ()

    def at(self, path: bytes, query: bytes) -> OpenAIEmbeddings | None:
        """One path, whatever the query says."""
        return self if path == b"v1/embeddings" else None

    def shape(self, body: dict[str, Any]) -> Shape:
        """Form without text; the inputs count as messages."""
        given = body.get("input")
        count = len(given) if type(given) is list and given and type(given[0]) is not int else 1
        return super().shape(body)._replace(messages=count)

    def read(self, body: dict[str, Any]) -> Ask:
        """Decide the reply."""
        model = body.get("model")
        if type(model) is not str or not model:
            raise RefusedError(400, "you must provide a model parameter")
        inputs = _inputs(body.get("input"))
        tokens = [_tokens(each) for each in inputs]
        if max(tokens) > INPUT_TOKENS_MAX:
            message = f"This model's maximum context length is {INPUT_TOKENS_MAX} tokens."
            raise RefusedError(400, message, param="input")
        digests = tuple([text_hash(each if type(each) is str else orjson.dumps(each).decode()) for each in inputs])
        script = scripted("".join([each for each in inputs if type(each) is str]), {})
        counted = count(script._replace(output_tokens=0), sum(tokens), 0, None, 1)
        vectors = Vectors(digests, _dimensions(body, model), _format(body) == "base64")
        usage = Usage(counted.usage.prompt, 0, 0, 0)
        return Ask(model, usage, 0, 0, 1, "stop", False, False, False, None, script.pace, vectors=vectors)

    def plain(self, ask: Ask, stamp: Stamp) -> bytes:
        """A list of embeddings."""
        vectors = ask.vectors or Vectors((), 0)
        data = [
            {"object": "embedding", "index": index, "embedding": packed(values) if vectors.packed else values}
            for index, values in enumerate(vector(digest, vectors.dimensions) for digest in vectors.digests)
        ]
        usage = {"prompt_tokens": ask.usage.prompt, "total_tokens": ask.usage.prompt}
        return orjson.dumps({"object": "list", "data": data, "model": ask.model, "usage": usage})

    def events(self, ask: Ask, stamp: Stamp) -> Events:
        """Embeddings do not stream."""
        raise RefusedError(400, "Embeddings do not stream.", param="stream")


def _inputs(given: Any) -> list[Any]:
    if given is None:
        raise RefusedError(400, "'input' is a required property", param="input")
    inputs = [given] if type(given) is str or (type(given) is list and given and type(given[0]) is int) else given
    if type(inputs) is not list or not inputs:
        raise RefusedError(400, "'$.input' is invalid.", param="input")
    if len(inputs) > INPUTS_MAX:
        raise RefusedError(400, f"'$.input' is invalid: at most {INPUTS_MAX} inputs.", param="input")
    for each in inputs:
        if not each or not (type(each) is str or (type(each) is list and all(type(token) is int for token in each))):
            raise RefusedError(400, "'$.input' is invalid.", param="input")
    return inputs


def _tokens(each: Any) -> int:
    return -(-len(each) // CHARS_PER_TOKEN) if type(each) is str else len(each)


def _dimensions(body: dict[str, Any], model: str) -> int:
    wanted, most = body.get("dimensions"), dimensions_of(model)
    if wanted is None:
        return most
    if type(wanted) is not int or not 1 <= wanted <= most:
        raise RefusedError(400, f"Invalid value for 'dimensions': expected 1 to {most}.", param="dimensions")
    return wanted


def _format(body: dict[str, Any]) -> str:
    wanted = body.get("encoding_format", "float")
    if wanted not in ("float", "base64"):
        raise RefusedError(400, "Invalid value for 'encoding_format'.", param="encoding_format")
    return str(wanted)
