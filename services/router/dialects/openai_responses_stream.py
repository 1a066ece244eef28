"""A stream of OpenAI's response as chunks of a chat completion; a client of responses may have its own events. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import orjson

from schemas.money import Usage
from services.router.dialects.chat_parts import Json
from services.router.dialects.openai_responses_reply import finish_of, usage_of
from services.router.dialects.sse import data_of
from services.router.dialects.translated import TranslatedStream
from services.router.errors import StreamMalformedError


class ResponseEvents:
    """Reads the events of one streamed response. The output's count is told at the end alone."""

    def __init__(self) -> None:
        self.ended = False
        self.tokens_told = 0
        self.prompt_told: Usage | None = None
        self._begun = False
        self._stamp: Json = {"object": "chat.completion.chunk"}
        self._calls: dict[int, int] = {}
        self._arguments: dict[int, int] = {}

    def chunks(self, event: Json) -> Iterable[Json]:
        """The chunks that the event stands for."""
        kind = event["type"]
        reader = _READERS.get(kind)
        if reader is not None:
            return reader(self, event)
        # Whatever else a model says bit by bit is output too: it counts, and a client of responses sees it as it is.
        if kind.endswith(".delta") and isinstance(event.get("delta"), str) and event["delta"]:
            return [self._chunk({"other": event["delta"]})]
        return []

    def _created(self, event: Json) -> Iterable[Json]:
        response = event["response"]
        self._stamp |= {"id": response["id"], "model": response["model"], "created": int(response["created_at"])}
        return []

    def _item(self, event: Json) -> Iterable[Json]:
        chunks = [] if self._begun else [self._chunk({"role": "assistant", "content": ""})]
        self._begun = True
        item = event["item"]
        if item["type"] == "function_call":
            index = self._calls[event["output_index"]] = len(self._calls)
            self._arguments[event["output_index"]] = 0
            call = {"id": item["call_id"], "type": "function", "function": {"name": item["name"], "arguments": ""}}
            chunks.append(self._chunk({"tool_calls": [{"index": index, **call}]}))
        return chunks

    def _said(self, event: Json) -> Iterable[Json]:
        chunk = self._chunk({"content": event["delta"]})
        if event.get("logprobs"):
            chunk["choices"][0]["logprobs"] = {"content": event["logprobs"], "refusal": None}
        return [chunk]

    def _refused(self, event: Json) -> Iterable[Json]:
        return [self._chunk({"refusal": event["delta"]})]

    def _thought(self, event: Json) -> Iterable[Json]:
        return [self._chunk({"reasoning_content": event["delta"]})]

    def _called(self, event: Json) -> Iterable[Json]:
        return self._more(event["output_index"], event["delta"])

    def _call_done(self, event: Json) -> Iterable[Json]:
        """Providers that do not stream arguments tell them here."""
        place = event["output_index"]
        return self._more(place, event["arguments"][self._arguments[place] :])

    def _more(self, place: int, arguments: str) -> Iterable[Json]:
        if not arguments:
            return []
        self._arguments[place] += len(arguments)
        return [self._chunk({"tool_calls": [{"index": self._calls[place], "function": {"arguments": arguments}}]})]

    def _ended(self, event: Json) -> Iterable[Json]:
        response = event["response"]
        self.ended = True
        chunks = [self._chunk({}, finish_of(response, calls=bool(self._calls)))]
        usage = usage_of(response.get("usage"))
        return chunks if usage is None else [*chunks, {**self._stamp, "choices": [], "usage": usage}]

    def _failed(self, event: Json) -> Iterable[Json]:
        response = event["response"]
        error = response.get("error") or {}
        told = {"message": str(error.get("message", "upstream error")), "code": error.get("code")}
        return [{"error": told, "usage": usage_of(response.get("usage"))}]

    def _error(self, event: Json) -> Iterable[Json]:
        error = event["error"] if isinstance(event.get("error"), dict) else event
        return [{"error": {"message": str(error.get("message", "upstream error")), "code": error.get("code")}}]

    def _chunk(self, delta: Json, finish: str | None = None) -> Json:
        return {**self._stamp, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


_READERS: dict[str, Callable[[ResponseEvents, Json], Iterable[Json]]] = {
    "response.created": ResponseEvents._created,
    "response.output_item.added": ResponseEvents._item,
    "response.output_text.delta": ResponseEvents._said,
    "response.refusal.delta": ResponseEvents._refused,
    "response.reasoning_summary_text.delta": ResponseEvents._thought,
    "response.reasoning_text.delta": ResponseEvents._thought,
    "response.function_call_arguments.delta": ResponseEvents._called,
    "response.function_call_arguments.done": ResponseEvents._call_done,
    "response.completed": ResponseEvents._ended,
    "response.incomplete": ResponseEvents._ended,
    "response.failed": ResponseEvents._failed,
    "error": ResponseEvents._error,
}


class ResponsesUpstream(TranslatedStream):
    """Reads one upstream stream of a response. After `keep`, `taken` gives the events that may go on, as they came."""

    __slots__ = ("_kept",)

    def __init__(self, choices: int, most_tokens: int) -> None:
        super().__init__(ResponseEvents(), choices, most_tokens)
        self._kept: list[Json] | None = None

    def keep(self) -> None:
        """Keep the events beside their chunks."""
        self._kept = []

    def taken(self) -> list[Json]:
        """The events since the last time."""
        kept, self._kept = self._kept or [], []
        return kept

    def feed(self, data: bytes) -> bytes:
        """The chunks that may go to the client now. Raises :class:`StreamMalformedError`."""
        try:
            return super().feed(data)
        except StreamMalformedError:
            if self._kept is not None:
                self._kept = []
            raise

    def _taken(self, event: bytes) -> bytes:
        over = self._translator.ended
        out = super()._taken(event)
        if self._kept is not None and not over and not self.capped and self.error is None and (data := data_of(event)):
            self._kept.append(orjson.loads(data))
        return out
