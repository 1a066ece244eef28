"""Anthropic's wire format, replies: messages (plain and streamed), thinking, tool use, models, errors.

Shapes as in the official `anthropic` package's types (`types/message.py`, `types/raw_*_event.py`, `types/shared/`) and in
Anthropic's pages "Streaming messages" and "Errors". What a request says is read in `anthropic_request.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from deploy.local.provider import speech
from deploy.local.provider.ask import Ask, Shape, ToolCall, Usage
from deploy.local.provider.dialects import Events, Headers, Stamp, anthropic_request
from deploy.local.provider.errors import RefusedError

MODELS = {
    "claude-opus-4-5": "Claude Opus 4.5",
    "claude-sonnet-5": "Claude Sonnet 5",
    "claude-haiku-4-5": "Claude Haiku 4.5",
}
"""What `/models` lists. Messages are answered for any model name."""

THINKING_PARTS = 4
ARGUMENT_PIECE_CHARS = 8
SIGNATURE = "c2ltdWxhdGVkLXNpZ25hdHVyZQ=="

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_TEXTS = {
    429: "This request would exceed your organization's rate limit.",
    529: "Overloaded",
}


class Anthropic:
    """The `Dialect` of Anthropic's messages API."""

    models_paths: tuple[bytes, ...] = (b"v1/models",)
    id_prefix = b"msg_"
    request_id_header = b"request-id"
    marker: bytes | None = b"anthropic-version"

    def at(self, path: bytes, query: bytes) -> Anthropic | None:
        """Messages are at one path, whatever the query says."""
        return self if path == b"v1/messages" else None

    def authorize(self, headers: Headers) -> None:
        """Want `x-api-key: <anything>` and `anthropic-version`."""
        anthropic_request.authorize(headers)

    def parse(self, raw: bytes) -> dict[str, Any]:
        """The JSON object."""
        return anthropic_request.parse(raw)

    def shape(self, body: dict[str, Any]) -> Shape:
        """Form without text."""
        return anthropic_request.shape(body)

    def read(self, body: dict[str, Any]) -> Ask:
        """Decide the reply."""
        return anthropic_request.read(body)

    def plain(self, ask: Ask, stamp: Stamp) -> bytes:
        """A `message`."""
        message: dict[str, Any] = {
            "id": stamp.reply_id, "type": "message", "role": "assistant", "model": ask.model, "content": _content(ask, stamp),
            "stop_reason": _stop_reason(ask), "stop_sequence": None, "usage": _usage(ask.usage),
        }  # fmt: skip
        return orjson.dumps(message)

    def events(self, ask: Ask, stamp: Stamp) -> Events:
        """`message_start`, the blocks in turn, `message_delta` with the final usage, `message_stop`."""
        thinking = _thinking_events(ask) if ask.shows_thinking and ask.usage.reasoning else []
        index = 1 if thinking else 0
        opening = _event("content_block_start", index=index, content_block=_opened(ask.tool, stamp))
        deltas = [_event("content_block_delta", index=index, delta=delta) for delta in _deltas(ask)]
        before = [*thinking, opening]
        # The ping comes after the first block has begun.
        lead = [_started(ask, stamp), before[0], b'event: ping\ndata: {"type": "ping"}\n\n', *before[1:]]
        end = {"stop_reason": _stop_reason(ask), "stop_sequence": None}
        tail = [
            _event("content_block_stop", index=index),
            _event("message_delta", delta=end, usage=_final(ask.usage)),
            _event("message_stop"),
        ]
        return Events([*lead, *deltas, *tail], lead=len(lead), span=len(deltas))

    def refusal(self, refused: RefusedError, stamp: Stamp | None = None) -> bytes:
        """The error for a request that is wrong."""
        return _error(_KINDS.get(refused.status, "invalid_request_error"), refused.message, stamp)

    def failure(self, status: int, usage: Usage | None = None, stamp: Stamp | None = None) -> bytes:
        """A provider's own error. Statuses without a kind of their own say what a 500 says."""
        kind = _KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error")
        body = _error(kind, _TEXTS.get(status, "Internal server error"), stamp)
        return body if usage is None else b'%b,"usage":%b}' % (body[:-1], orjson.dumps(_usage(usage)))

    def models(self) -> bytes:
        """The list of models, on one page."""
        names = list(MODELS)
        page = {
            "data": [_model(name) for name in names], "has_more": False,
            "first_id": names[0], "last_id": names[-1],
        }  # fmt: skip
        return orjson.dumps(page)

    def model(self, model_id: str) -> bytes:
        """One model, if `/models` lists it."""
        if model_id not in MODELS:
            raise RefusedError(404, f"model: {model_id}", param="model")
        return orjson.dumps(_model(model_id))


def _model(name: str) -> dict[str, Any]:
    return {
        "type": "model", "id": name, "display_name": MODELS[name], "created_at": "2025-09-29T00:00:00Z",
        "lifecycle": "active", "max_input_tokens": 200_000, "max_tokens": 64_000,
    }  # fmt: skip


def _error(kind: str, message: str, stamp: Stamp | None) -> bytes:
    request_id = None if stamp is None else f"req_{stamp.id.decode()}"
    return orjson.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id})


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **fields}))


def _usage(usage: Usage) -> dict[str, Any]:
    """`input_tokens` leaves out what a cache read or wrote: the three add up to the prompt."""
    return {
        "input_tokens": usage.prompt - usage.cached - usage.cache_write,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": usage.completion,
        "service_tier": "standard",
        **_details(usage),
    }


def _final(usage: Usage) -> dict[str, Any]:
    whole = _usage(usage)
    return {name: whole[name] for name in whole if name not in {"cache_creation", "service_tier"}}


def _details(usage: Usage) -> dict[str, Any]:
    return {"output_tokens_details": {"thinking_tokens": usage.reasoning}} if usage.reasoning else {}


def _stop_reason(ask: Ask) -> str:
    if ask.finish == "length":
        return "max_tokens"
    return "end_turn" if ask.tool is None else "tool_use"


def _content(ask: Ask, stamp: Stamp) -> list[dict[str, Any]]:
    thinking = ask.shows_thinking and ask.usage.reasoning
    blocks = [{"type": "thinking", "thinking": speech.thought(ask), "signature": SIGNATURE}] if thinking else []
    if ask.tool is None:
        return [*blocks, {"type": "text", "text": speech.said(ask)}] if ask.words else blocks
    # A call that the cap cut is not JSON: a plain reply has no way to say it, so its input stays empty.
    arguments = {} if ask.finish == "length" else orjson.loads(ask.tool.arguments)
    return [*blocks, {**_opened(ask.tool, stamp), "input": arguments}]


def _opened(tool: ToolCall | None, stamp: Stamp) -> dict[str, Any]:
    if tool is None:
        return {"type": "text", "text": ""}
    return {"type": "tool_use", "id": f"toolu_{stamp.id.decode()}", "name": tool.name, "input": {}}


def _started(ask: Ask, stamp: Stamp) -> bytes:
    """What is known at the start: the prompt, and the first token of output."""
    usage = _usage(ask.usage._replace(completion=min(ask.usage.completion, 1), reasoning=0))
    message: dict[str, Any] = {
        "id": stamp.reply_id, "type": "message", "role": "assistant", "model": ask.model, "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    return _event("message_start", message=message)


def _deltas(ask: Ask) -> Iterable[dict[str, Any]]:
    if ask.tool is None:
        return [{"type": "text_delta", "text": part} for part in speech.parts(ask, ask.words)] if ask.words else []
    step = ARGUMENT_PIECE_CHARS
    pieces = [ask.tool.arguments[at : at + step] for at in range(0, len(ask.tool.arguments), step)]
    return [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *pieces]]


def _thinking_events(ask: Ask) -> list[bytes]:
    """The thinking block, whole; its signature comes last."""
    block = {"type": "thinking", "thinking": "", "signature": ""}
    told = [{"type": "thinking_delta", "thinking": part} for part in speech.thought_parts(ask, THINKING_PARTS)]
    signed = {"type": "signature_delta", "signature": SIGNATURE}
    return [
        _event("content_block_start", index=0, content_block=block),
        *(_event("content_block_delta", index=0, delta=delta) for delta in [*told, signed]),
        _event("content_block_stop", index=0),
    ]
