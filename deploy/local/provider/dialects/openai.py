"""OpenAI's wire format, replies: chat completions (plain and streamed), tool calls, models, errors.

Shapes as in the official `openai` package's types (`types/chat/chat_completion*.py`, `types/completion_usage.py`).
What a request says is read in `openai_request.py`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import orjson

from deploy.local.provider import filler, speech
from deploy.local.provider.ask import Ask, Shape, ToolCall, Usage
from deploy.local.provider.dialects import Events, Headers, Stamp, openai_request
from deploy.local.provider.errors import RefusedError

MODELS = (
    "gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "gpt-5", "gpt-5-mini",
    "gpt-5-nano", "o3", "o4-mini",
)  # fmt: skip
"""What `/models` lists. Completions are answered for any model name."""

MODELS_CREATED = 1_700_000_000
DONE = b"data: [DONE]\n\n"
ARGUMENT_PIECE_CHARS = 8
OBFUSCATED_CHARS = 16
"""Providers pad each event so that its size does not tell the token's length."""

_TAIL = b'"service_tier":"default","system_fingerprint":"fp_simulated"'
_FAILURES = {
    429: ("Rate limit reached for requests. Please try again later.", "requests", "rate_limit_exceeded"),
    503: ("The engine is currently overloaded, please try again later.", "server_error", None),
}
_FAILURE = ("The server had an error while processing your request. Sorry about that!", "server_error", None)


class OpenAI:
    """The `Dialect` of OpenAI's API and of everything that imitates it."""

    id_prefix = b"chatcmpl-"
    request_id_header = b"x-request-id"
    marker: bytes | None = None
    models_paths: tuple[bytes, ...] = (b"v1/models",)

    def at(self, path: bytes, query: bytes) -> OpenAI | None:
        """Completions are at one path, whatever the query says."""
        return self if path == b"v1/chat/completions" else None

    def authorize(self, headers: Headers) -> None:
        """Want `Authorization: Bearer <anything>`."""
        openai_request.authorize(headers)

    def parse(self, raw: bytes) -> dict[str, Any]:
        """The JSON object."""
        return openai_request.parse(raw)

    def shape(self, body: dict[str, Any]) -> Shape:
        """Form without text."""
        return openai_request.shape(body)

    def read(self, body: dict[str, Any]) -> Ask:
        """Decide the reply."""
        return openai_request.read(body)

    def plain(self, ask: Ask, stamp: Stamp) -> bytes:
        """A `chat.completion`."""
        message = _message(ask, stamp)
        choices = b",".join(
            b'{"index":%d,"message":%b,"logprobs":null,"finish_reason":"%b"}' % (index, message, _finish(ask))
            for index in range(ask.choices)
        )
        return b'{"id":"chatcmpl-%b","object":"chat.completion","created":%d,"model":%b,"choices":[%b],"usage":%b,%b}' % (
            stamp.id,
            stamp.created,
            _quoted(ask.model),
            choices,
            _usage(ask.usage),
            _TAIL,
        )

    def events(self, ask: Ask, stamp: Stamp) -> Events:
        """`chat.completion.chunk`s: roles, then the choices' deltas in turn, then finishes, usage, `[DONE]`."""
        prefix = b'data: {"id":"chatcmpl-%b","object":"chat.completion.chunk","created":%d,"model":%b,%b,"choices":[' % (
            stamp.id,
            stamp.created,
            _quoted(ask.model),
            _TAIL,
        )
        # With include_usage every chunk carries a usage field, null in all but the last.
        suffix = b'],"usage":null' if ask.include_usage else b"]"
        deltas = _tool_deltas(ask.tool, stamp) if ask.tool else _word_deltas(ask)
        events = [b"%b%b%b%b" % (prefix, choice, suffix, end) for choice, end in _choices(ask, deltas)]
        if ask.include_usage:
            events.append(b'%b],"usage":%b}\n\n' % (prefix, _usage(ask.usage)))
        events.append(DONE)
        return Events(events, lead=ask.choices, span=(len(deltas) - 1) * ask.choices)

    def refusal(self, refused: RefusedError, stamp: Stamp | None = None) -> bytes:
        """`invalid_request_error` with the parameter at fault."""
        return _error(refused.message, "invalid_request_error", refused.param, refused.code)

    def failure(self, status: int, usage: Usage | None = None, stamp: Stamp | None = None) -> bytes:
        """A provider's own error. Statuses without a text of their own say what a 500 says."""
        message, kind, code = _FAILURES.get(status, _FAILURE)
        body = _error(message, kind, None, code)
        return body if usage is None else b'%b,"usage":%b}' % (body[:-1], _usage(usage))

    def models(self) -> bytes:
        """The list of models."""
        return orjson.dumps({"object": "list", "data": [_model(name) for name in MODELS]})

    def model(self, model_id: str) -> bytes:
        """One model, if `/models` lists it."""
        if model_id not in MODELS:
            message = f"The model '{model_id}' does not exist"
            raise RefusedError(404, message, param="model", code="model_not_found")
        return orjson.dumps(_model(model_id))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": MODELS_CREATED, "owned_by": "system"}


def _error(message: str, kind: str, param: str | None, code: str | None) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


@lru_cache(maxsize=256)
def _quoted(text: str) -> bytes:
    return orjson.dumps(text)


def _usage(usage: Usage) -> bytes:
    return (
        b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
        b'"prompt_tokens_details":{"cached_tokens":%d,"audio_tokens":0},'
        b'"completion_tokens_details":{"reasoning_tokens":%d,"audio_tokens":0,'
        b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'
        % (
            usage.prompt, usage.completion, usage.prompt + usage.completion, usage.cached,
            usage.reasoning,
        )
    )  # fmt: skip


def _finish(ask: Ask) -> bytes:
    if ask.finish == "stop" and ask.tool is not None:
        return b"tool_calls"
    return ask.finish.encode()


def _call_id(stamp: Stamp) -> str:
    return f"call_{stamp.id.decode()}"


def _message(ask: Ask, stamp: Stamp) -> bytes:
    if ask.tool is None:
        text = b'"%b"' % filler.text(ask.start, ask.words) if ask.literal is None else orjson.dumps(speech.said(ask))
        return b'{"role":"assistant","content":%b,"refusal":null,"annotations":[]}' % text
    function = {"name": ask.tool.name, "arguments": ask.tool.arguments}
    call = {"id": _call_id(stamp), "type": "function", "function": function}
    return orjson.dumps({"role": "assistant", "content": None, "refusal": None, "annotations": [], "tool_calls": [call]})


def _word_deltas(ask: Ask) -> list[bytes]:
    first = b'{"role":"assistant","content":"","refusal":null}'
    if ask.literal is not None:
        return [first, *(orjson.dumps({"content": part}) for part in speech.parts(ask, ask.words))]
    return [first, *(b'{"content":"%b"}' % word for word in filler.tokens(ask.start, ask.words))]


def _tool_deltas(tool: ToolCall, stamp: Stamp) -> list[bytes]:
    """The call's id and name come first, with empty arguments; the arguments follow in pieces."""
    named = {
        "index": 0, "id": _call_id(stamp), "type": "function",
        "function": {"name": tool.name, "arguments": ""},
    }  # fmt: skip
    first = {"role": "assistant", "content": None, "tool_calls": [named], "refusal": None}
    step = ARGUMENT_PIECE_CHARS
    pieces = [tool.arguments[at : at + step] for at in range(0, len(tool.arguments), step)]
    return [
        orjson.dumps(first),
        *(orjson.dumps({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for piece in pieces),
    ]


def _choices(ask: Ask, deltas: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Each event's choice object, and how the event ends."""
    indexes = range(ask.choices)
    said = [
        (b'{"index":%d,"delta":%b,"logprobs":null,"finish_reason":null}' % (index, delta), delta)
        for delta in deltas
        for index in indexes
    ]
    finish = b'{"index":%d,"delta":{},"logprobs":null,"finish_reason":"%b"}'
    said += [(finish % (index, _finish(ask)), b"{}") for index in indexes]
    return [(choice, _end(delta) if ask.obfuscate else b"}\n\n") for choice, delta in said]


def _end(delta: bytes) -> bytes:
    return b',"obfuscation":"%b"}\n\n' % (b"x" * (OBFUSCATED_CHARS - len(delta) % OBFUSCATED_CHARS))
