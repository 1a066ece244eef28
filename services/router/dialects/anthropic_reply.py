"""Anthropic's message as a chat completion, plain and streamed. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeGuard

import orjson

from schemas.money import Usage
from services.router.dialects.chat_parts import Json
from services.router.dialects.openai import prompt_of

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
ERROR_CODES = {
    "rate_limit_error": "rate_limit_exceeded",
    "overloaded_error": "overloaded",
    "billing_error": "insufficient_quota",
    "request_too_large": "request_too_large",
}


def usage_of(usage: Any) -> Json | None:
    """A `usage` object in OpenAI's shape; Anthropic counts cached and written prompt tokens beside `input_tokens`."""
    if not isinstance(usage, dict):
        return None
    cached, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    fresh, output = usage.get("input_tokens"), usage.get("output_tokens")
    if not (_count(fresh) and _count(output) and _count(cached) and _count(written)):
        return None
    prompt = fresh + cached + written
    details = usage.get("output_tokens_details")
    thinking = details.get("thinking_tokens") if isinstance(details, dict) else None
    thought = {"completion_tokens_details": {"reasoning_tokens": thinking}} if _count(thinking) else {}
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        **thought,
    }


def _count(value: Any) -> TypeGuard[int]:
    return type(value) is int and value >= 0


def chat_reply(message: Json, created: int) -> Json:
    """The reply. Raises KeyError, TypeError or ValueError for a message that is none."""
    said: Json = {"role": "assistant", "content": None}
    texts, reasoning, calls, thoughts = [], [], [], []
    for block in message["content"]:
        kind = block["type"]
        if kind == "text":
            texts.append(block["text"])
        elif kind == "tool_use":
            calls.append(_call(block["id"], block["name"], orjson.dumps(block["input"]).decode()))
        elif kind in {"thinking", "redacted_thinking"}:
            reasoning.append(block.get("thinking", ""))
            thoughts.append(block)
    if texts:
        said["content"] = "".join(texts)
    if calls:
        said["tool_calls"] = calls
    if thoughts:
        said["reasoning_content"] = "".join(reasoning)
        said["thinking_blocks"] = thoughts
    choice = {"index": 0, "message": said, "finish_reason": finish_of(message["stop_reason"]), "logprobs": None}
    return {
        "id": message["id"],
        "object": "chat.completion",
        "created": created,
        "model": message["model"],
        "choices": [choice],
        "usage": usage_of(message.get("usage")),
    }


def finish_of(stop_reason: Any) -> str:
    """The finish reason that a stop reason stands for. Raises ValueError for an unfinished message."""
    if not isinstance(stop_reason, str):
        raise ValueError("a message without a stop reason")  # noqa: TRY004 - the caller takes it for a malformed reply
    return FINISH.get(stop_reason, "stop")


class MessageEvents:
    """Reads the events of one streamed message. The output's count is told at the end alone."""

    def __init__(self, created: int) -> None:
        self.ended = False
        self.tokens_told = 0
        self.prompt_told: Usage | None = None
        self._stamp: Json = {"object": "chat.completion.chunk", "created": created}
        self._usage: Json = {}
        self._tools: dict[int, int] = {}
        self._finish: str | None = None

    def chunks(self, event: Json) -> Iterable[Json]:
        """The chunks that the event stands for."""
        reader = {
            "message_start": self._start,
            "content_block_start": self._block,
            "content_block_delta": self._delta,
            "message_delta": self._message,
            "message_stop": self._stop,
            "error": self._error,
        }.get(event["type"])
        return [] if reader is None else reader(event)

    def _start(self, event: Json) -> Iterable[Json]:
        message = event["message"]
        self._stamp |= {"id": message["id"], "model": message["model"]}
        self._usage |= message.get("usage") or {}
        self.prompt_told = prompt_of(usage_of({**self._usage, "output_tokens": 0}))
        return [self._chunk({"role": "assistant", "content": ""})]

    def _block(self, event: Json) -> Iterable[Json]:
        block = event["content_block"]
        if block["type"] == "tool_use":
            index = self._tools.setdefault(event["index"], len(self._tools))
            call = {"index": index, **_call(block["id"], block["name"], "")}
            return [self._chunk({"tool_calls": [call]})]
        if block["type"] == "redacted_thinking":
            return [self._chunk({"thinking_blocks": [block]})]
        return [self._chunk({"content": block["text"]})] if block.get("text") else []

    def _delta(self, event: Json) -> Iterable[Json]:
        delta = event["delta"]
        kind = delta["type"]
        if kind == "text_delta":
            return [self._chunk({"content": delta["text"]})]
        if kind == "thinking_delta":
            return [self._chunk({"reasoning_content": delta["thinking"]})]
        if kind == "signature_delta":
            return [self._chunk({"thinking_signature": delta["signature"]})]
        if kind == "input_json_delta":
            call = {"index": self._tools[event["index"]], "function": {"arguments": delta["partial_json"]}}
            return [self._chunk({"tool_calls": [call]})] if delta["partial_json"] else []
        return []

    def _message(self, event: Json) -> Iterable[Json]:
        self._usage |= {name: value for name, value in (event.get("usage") or {}).items() if value is not None}
        reason = event["delta"].get("stop_reason")
        if reason is not None:
            self._finish = finish_of(reason)
        return []

    def _stop(self, _: Json) -> Iterable[Json]:
        self.ended = True
        chunks = [] if self._finish is None else [self._chunk({}, self._finish)]
        usage = usage_of(self._usage)
        if usage is not None:
            chunks.append({**self._stamp, "choices": [], "usage": usage})
        return chunks

    def _error(self, event: Json) -> Iterable[Json]:
        error = event["error"]
        return [{"error": {"message": str(error.get("message", "upstream error")), "type": error.get("type")}}]

    def _chunk(self, delta: Json, finish: str | None = None) -> Json:
        return {**self._stamp, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def error_of(body: bytes) -> Json | None:
    """An error reply in OpenAI's shape, None where it is not in Anthropic's."""
    try:
        document = orjson.loads(body)
        error = document["error"]
        kind, message = error["type"], error["message"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    told = {"message": message, "type": kind, "param": None, "code": ERROR_CODES.get(kind)}
    return {"error": told, "usage": usage_of(document.get("usage"))}


def _call(call_id: str, name: str, arguments: str) -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
