"""OpenAI's embeddings as a client API. A reply has no output tokens: its hold and its charge are the input's alone."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import Any

import orjson

from services.router.ask import REROUTING, Ask
from services.router.dialects.openai import Reply
from services.router.dialects.openai_stream import ChatStream
from services.router.embedding_ask import EmbeddingAsk, inputs_of
from services.router.errors import RefusalError
from services.router.stream_reader import StreamReader

INPUTS_MAX = 2048
DIMENSIONS_MAX = 1_000_000
FORMATS = ("float", "base64")
MONEY = ("cost", "currency", "bucket")


class Embeddings:
    """`POST /v1/embeddings`."""

    path = "/internal/v1/embeddings"
    names: Mapping[str, str] = {}

    def parse(self, body: bytes) -> EmbeddingAsk:
        """The request. Raises :class:`RefusalError` (400) naming the parameter at fault."""
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise RefusalError(400, "invalid_json", "The body is not valid JSON.") from None
        if not isinstance(document, dict):
            raise RefusalError(400, "invalid_json", "The body must be a JSON object.")
        _check(document)
        return EmbeddingAsk(
            body=document,
            body_bytes=len(body),
            model=document["model"],
            stream=False,
            include_usage=False,
            cap=0,
            choices=1,
            messages=len(inputs_of(document["input"])),
            image_parts=0,
            file_parts=0,
            client_api="embeddings",
        )

    def plain(self, ask: Ask, reply: Reply, document: dict[str, Any], cost: dict[str, str]) -> bytes:
        """The vectors in the format that the client asked for. Raises TypeError for what holds none."""
        usage = document["usage"]
        told = {name: usage[name] for name in MONEY if name in usage}
        counts = {"prompt_tokens": usage["prompt_tokens"], "total_tokens": usage["prompt_tokens"], **told}
        data = document["data"]
        if len(data) != ask.messages:
            raise TypeError("another number of vectors than of inputs")
        if ask.body.get("encoding_format") == "base64":
            data = [{**each, "embedding": packed(each["embedding"])} for each in data]
        return orjson.dumps({**document, "object": "list", "data": data, "usage": counts})

    def stream(self, ask: Ask, chunks: ChatStream) -> StreamReader:
        """Never asked for: a request that streams is refused when it is parsed."""
        raise AssertionError("embeddings do not stream")


def packed(vector: Any) -> str:
    """A vector as base64 of 32-bit floats, little-endian; one that is packed already as it is."""
    if isinstance(vector, str):
        return vector
    try:
        floats = struct.pack(f"<{len(vector)}f", *vector)
    except (struct.error, OverflowError) as exc:
        raise TypeError("a vector of other things than 32-bit floats") from exc
    return base64.b64encode(floats).decode()


def _check(document: dict[str, Any]) -> None:
    model = document.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= 128:
        raise _invalid("model", "model must be a string of 1 to 128 characters.")
    _check_inputs(document.get("input"))
    if document.get("stream"):
        raise _invalid("stream", "Embeddings do not stream.")
    if document.get("encoding_format") not in (None, *FORMATS):
        raise _invalid("encoding_format", f"encoding_format is {' or '.join(FORMATS)}.")
    dimensions = document.get("dimensions")
    if dimensions is not None and (type(dimensions) is not int or not 1 <= dimensions <= DIMENSIONS_MAX):
        raise _invalid("dimensions", f"dimensions must be a whole number from 1 to {DIMENSIONS_MAX}.")
    for name in REROUTING:
        if document.get(name) is not None:
            message = f"{name} could change the price of the answer and is not supported here."
            raise _invalid(name, message, "unsupported_parameter")


def _check_inputs(given: Any) -> None:
    if not isinstance(given, str | list) or not given:
        raise _invalid("input", "input must be a text, a list of texts, a list of tokens, or a list of lists of tokens.")
    inputs = inputs_of(given)
    if len(inputs) > INPUTS_MAX:
        raise _invalid("input", f"input has at most {INPUTS_MAX} texts or lists of tokens.")
    texts = all(isinstance(each, str) and each for each in inputs)
    tokens = all(isinstance(each, list) and each and all(type(token) is int for token in each) for each in inputs)
    if not texts and not tokens:
        raise _invalid("input", "Each input is a text or a list of tokens, all of one kind, and none is empty.")


def _invalid(param: str, message: str, code: str = "invalid_value") -> RefusalError:
    return RefusalError(400, code, message, param=param)
