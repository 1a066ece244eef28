"""A stream of chat completion chunks as the events of Anthropic's message. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from services.router.clients.client_stream import ClientStream
from services.router.clients.messages_reply import message_id, stop_reason, usage_of
from services.router.dialects.openai_stream import ChatStream

Json = dict[str, Any]


class MessageStream(ClientStream):
    """Reads chunks and writes events."""

    def __init__(self, chunks: ChatStream) -> None:
        super().__init__(chunks)
        self._events = MessageEventWriter()

    def failure(self, document: Json) -> bytes:
        """An `error` event."""
        return event("error", {"error": anthropic_error(document["error"])})

    def _write(self, chunk: Json) -> bytes:
        return self._events.write(chunk)

    def _end(self) -> bytes:
        return self._events.end()


class MessageEventWriter:
    """The events of one message: its start, its blocks one after the other, its end."""

    def __init__(self) -> None:
        self._begun = False
        self._open: tuple[str, int] | None = None
        self._count = 0
        self._stop: str | None = None
        self._usage: Json | None = None

    def write(self, chunk: Json) -> bytes:
        """The events that a chunk stands for."""
        written = b"" if self._begun else self._start(chunk)
        if chunk.get("usage"):
            self._usage = usage_of(chunk["usage"])
        for choice in chunk["choices"]:
            written += self._delta(choice.get("delta") or {})
            if choice.get("finish_reason") is not None:
                self._stop = stop_reason(choice["finish_reason"])
        return written

    def end(self) -> bytes:
        """The last events."""
        usage = self._usage or {"output_tokens": 0}
        delta = {"stop_reason": self._stop or "end_turn", "stop_sequence": None}
        return self._close() + event("message_delta", {"delta": delta, "usage": usage}) + event("message_stop", {})

    def _start(self, chunk: Json) -> bytes:
        self._begun = True
        message: Json = {
            "id": message_id(chunk.get("id")),
            "type": "message",
            "role": "assistant",
            "model": chunk.get("model"),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
        return event("message_start", {"message": message})

    def _delta(self, delta: Json) -> bytes:
        written = b""
        if delta.get("reasoning_content"):
            written += self._thought("thinking_delta", thinking=delta["reasoning_content"])
        if delta.get("thinking_signature"):
            written += self._thought("signature_delta", signature=delta["thinking_signature"])
        for redacted in delta.get("thinking_blocks") or []:
            written += self._close() + self._in_block(("redacted", self._count), redacted)
        text = delta.get("content") or delta.get("refusal")
        if text:
            written += self._in_block(("text", 0), {"type": "text", "text": ""}) + self._piece("text_delta", text=text)
        for call in delta.get("tool_calls") or []:
            written += self._call(call)
        return written

    def _thought(self, kind: str, **fields: str) -> bytes:
        return self._in_block(("thinking", 0), {"type": "thinking", "thinking": "", "signature": ""}) + self._piece(
            kind, **fields
        )

    def _call(self, call: Json) -> bytes:
        function = call.get("function") or {}
        block: Json = {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": {}}
        written = self._in_block(("tool", call["index"]), block)
        if function.get("arguments"):
            written += self._piece("input_json_delta", partial_json=function["arguments"])
        return written

    def _in_block(self, which: tuple[str, int], block: Json) -> bytes:
        """Nothing where the block is open; else the end of the one before it and its own start."""
        if self._open == which:
            return b""
        written = self._close()
        self._open = which
        return written + event("content_block_start", {"index": self._count, "content_block": block})

    def _piece(self, kind: str, **fields: str) -> bytes:
        return event("content_block_delta", {"index": self._count, "delta": {"type": kind, **fields}})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        self._count += 1
        return event("content_block_stop", {"index": self._count - 1})


def event(kind: str, fields: Json) -> bytes:
    """One server-sent event, named as Anthropic names it."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **fields}))


def anthropic_error(error: Json) -> Json:
    """An error object in Anthropic's shape, with what else it says."""
    return {
        **{name: value for name, value in error.items() if name not in {"message", "type"}},
        "type": "api_error",
        "message": error["message"],
    }
