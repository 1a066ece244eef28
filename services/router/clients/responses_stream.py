"""A stream of chat completion chunks as the events of OpenAI's response. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from services.router.clients.client_stream import ClientStream, Json
from services.router.clients.responses_output import Output
from services.router.clients.responses_reply import ended, frame, usage_of
from services.router.dialects.openai_stream import ChatStream


class ResponseStream(ClientStream):
    """Reads chunks and writes events. `request` is the client's, which a response repeats."""

    def __init__(self, chunks: ChatStream, request: Json) -> None:
        super().__init__(chunks)
        self._events = ResponseEventWriter(request)

    def failure(self, document: Json) -> bytes:
        """A `response.failed` event."""
        return self._events.fail(document["error"])

    def _write(self, chunk: Json) -> bytes:
        return self._events.write(chunk)

    def _end(self) -> bytes:
        return self._events.end()


class ResponseEventWriter:
    """The events of one response, numbered from 0: its start, its items, its end."""

    def __init__(self, request: Json) -> None:
        self._request = request
        self._number = 0
        self._response: Json = {}
        self._output = Output("")
        self._finish: str | None = None
        self._usage: Json | None = None

    def write(self, chunk: Json) -> bytes:
        """The events that a chunk stands for."""
        written = b"" if self._response else self._start(chunk)
        if chunk.get("usage"):
            self._usage = usage_of(chunk["usage"])
        for choice in chunk["choices"]:
            logprobs = choice.get("logprobs")
            told = logprobs.get("content") if isinstance(logprobs, dict) else None
            written += self._encoded(self._output.take(choice.get("delta") or {}, told or []))
            self._finish = choice.get("finish_reason") or self._finish
        return written

    def end(self) -> bytes:
        """The items' ends, and the end of the response."""
        response = ended(self._response, self._output.items, self._finish, self._usage)
        items = self._encoded(self._output.close(response["status"]))
        response["output"] = self._output.items
        return items + self._event(f"response.{response['status']}", {"response": response})

    def fail(self, error: Json) -> bytes:
        """The end of a response that broke."""
        told = {"code": "server_error", "message": error["message"], "type": error.get("code")}
        response = {**self._response, "status": "failed", "error": told, "output": self._output.items}
        return self._event("response.failed", {"response": response})

    def _start(self, chunk: Json) -> bytes:
        self._response = frame(self._request, chunk.get("id"), chunk.get("created"), chunk.get("model"))
        self._output = Output(self._response["id"])
        begun = {"response": self._response}
        return self._event("response.created", begun) + self._event("response.in_progress", begun)

    def _encoded(self, events: list[tuple[str, Json]]) -> bytes:
        return b"".join([self._event(kind, fields) for kind, fields in events])

    def _event(self, kind: str, fields: Json) -> bytes:
        self._number += 1
        return event(kind, {"sequence_number": self._number - 1, **fields})


def event(kind: str, fields: dict[str, Any]) -> bytes:
    """One server-sent event, named as its data are."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **fields}))
