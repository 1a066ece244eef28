"""The stream of a provider of responses for a client of responses: its events as they come, the end held back. Pure."""

from __future__ import annotations

from schemas.money import Usage
from services.router.clients.client_stream import ClientStream, Json
from services.router.clients.responses_reply import frame, usage_of
from services.router.clients.responses_stream import event
from services.router.dialects.openai import usage_document
from services.router.dialects.openai_responses_stream import ResponsesUpstream
from services.router.errors import StreamMalformedError

ENDS = frozenset({"response.completed", "response.incomplete"})


class NativeResponseStream(ClientStream):
    """Passes events on. The last one waits, for the cost to be put into it and for the request's record."""

    def __init__(self, upstream: ResponsesUpstream, request: Json) -> None:
        super().__init__(upstream)
        self._upstream = upstream
        self._upstream.keep()
        self._response = frame(request, None, None, None)
        self._items: list[Json] = []
        self._final: Json | None = None
        self._number = 0

    def feed(self, data: bytes) -> bytes:
        """The events that may go to the client now. Raises :class:`StreamMalformedError`."""
        self._upstream.feed(data)
        return b"".join([self._write(each) for each in self._upstream.taken()])

    def ending(self, usage: Usage, cost: dict[str, str], *, include_usage: bool, capped: bool = False) -> bytes:
        """The event that was held back, with its cost; of a stream that was cut at its cap, one that says so."""
        if self._final is None or capped:
            counts = usage_of(usage_document(usage))
            details = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
            response = {**self._response, **details, "output": self._items, "usage": {**counts, **cost}}
            return self._event("response.incomplete", {"response": response})
        response = self._final["response"]
        reported = response.get("usage")
        counts = reported if isinstance(reported, dict) else usage_of(usage_document(usage))
        return self._event(self._final["type"], {"response": {**response, "usage": {**counts, **cost}}})

    def failure(self, document: Json) -> bytes:
        """A `response.failed` event."""
        error = document["error"]
        told = {"code": "server_error", "message": error["message"], "type": error.get("code")}
        response = {**self._response, "status": "failed", "error": told, "output": self._items}
        return self._event("response.failed", {"response": response})

    def _write(self, chunk: Json) -> bytes:
        kind = chunk["type"]
        if kind in ENDS:
            self._final = chunk
            return b""
        if kind == "response.created":
            self._response = {**self._response, **chunk["response"]}
        elif kind == "response.output_item.done":
            if not isinstance(chunk.get("item"), dict):
                raise StreamMalformedError("a finished output item that names no item")
            self._items.append(chunk["item"])
        number = chunk.get("sequence_number")
        self._number = number + 1 if type(number) is int else self._number + 1
        try:
            return event(kind, {name: value for name, value in chunk.items() if name != "type"})
        except TypeError:
            raise StreamMalformedError("an event that is nested too deeply") from None

    def _end(self) -> bytes:
        return b""

    def _event(self, kind: str, fields: Json) -> bytes:
        self._number += 1
        return event(kind, {"sequence_number": self._number - 1, **fields})
