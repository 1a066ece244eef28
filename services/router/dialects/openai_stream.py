"""OpenAI chat completions as a stream: what may go on at once, and what waits until the request is settled. Pure.

A chunk without finish reason and without usage goes on byte for byte, found by looking at the bytes alone: in JSON a quote
inside a text is escaped, so that `"finish_reason":null` can only be the key itself. Everything else is parsed. Chunks with a
finish reason, the usage and `[DONE]` are held back: the client sees the end only after RequestCompleted has been acknowledged.
"""

from __future__ import annotations

from typing import Any

import orjson

from schemas.money import INT64_MAX, Usage
from services.router.bounds import least_tokens
from services.router.dialects.openai import read_usage, usage_document
from services.router.dialects.sse import EventSplitter, data_of
from services.router.errors import StreamMalformedError
from services.router.upstream_ids import printable_id

DONE = b"data: [DONE]\n\n"
_OPEN = (b'"finish_reason":null', b'"finish_reason": null')
_USAGE, _NO_USAGE = b'"usage"', (b'"usage":null', b'"usage": null')
SMALL_EVENT = 512
"""Bytes of an event that is taken for one token unread: the frame alone is 200 to 350."""
_NOT_SAID = frozenset({"role", "id", "type", "index"})
_EMPTY = (b'"content":""', b'"content": ""', b'"delta":{}', b'"delta": {}')


class ChatStream:
    """Reads one upstream stream of `choices` choices, up to `most_tokens` tokens of output in all.

    `tokens_seen` is a lower bound of the output tokens that were passed on: one for each chunk that carried output, more for
    one that is larger than `SMALL_EVENT`, whose text is looked at.
    `capped` tells that the upstream went beyond `most_tokens`: nothing is read or passed on from there, even of the same bytes.
    `error` is the upstream's error object once it sent one in the stream; `usage` what it reported, `prompt` what it told of
    the prompt before the end, where its format does.
    """

    __slots__ = (
        *("_choices", "_finished", "_held", "_most_tokens", "_splitter", "_stamp"),
        *("capped", "done", "error", "prompt", "started", "tokens_seen", "usage"),
    )

    def __init__(self, choices: int, most_tokens: int = INT64_MAX) -> None:
        self._choices = choices
        self._most_tokens = most_tokens
        self._splitter = EventSplitter()
        self._finished: set[int] = set()
        self._held: list[bytes] = []
        self._stamp: dict[str, Any] = {}
        self.tokens_seen = 0
        self.capped = self.done = self.started = False
        self.error: dict[str, Any] | None = None
        self.prompt: Usage | None = None
        self.usage: Usage | None = None

    @property
    def upstream_id(self) -> str | None:
        """The provider's id of the reply, as its chunks give it."""
        return printable_id(self._stamp.get("id"))

    @property
    def complete(self) -> bool:
        """Whether the upstream said all that it had to say: every choice has its finish reason."""
        return len(self._finished) >= self._choices

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be read."""
        return self.done or self.error is not None

    def feed(self, data: bytes) -> bytes:
        """The bytes that may go to the client now. Raises :class:`StreamMalformedError`."""
        events = self._splitter.feed(data)
        if len(events) == 1:
            return self._within(events[0])
        seen = self.tokens_seen
        try:
            return b"".join([self._within(event) for event in events])
        except StreamMalformedError:
            # What came with the malformed event does not go on: it must not be charged either.
            self.tokens_seen = seen
            raise

    def ending(self, usage: Usage, cost: dict[str, str], *, include_usage: bool, capped: bool = False) -> bytes:
        """The held chunks, the usage chunk with its cost where the client asked for it, and `[DONE]`.

        `capped`: the stream was cut at its cap; choices that were not finished get the finish reason "length".
        """
        reported = self._stamp.pop("usage", None)
        stamp = {"object": "chat.completion.chunk", **self._stamp}
        held = list(self._held)
        if capped:
            open_choices = [index for index in range(self._choices) if index not in self._finished]
            cut = [{"index": index, "delta": {}, "finish_reason": "length"} for index in open_choices]
            held.append(encode({**stamp, "choices": cut}))
            reported = None
        if include_usage:
            held.append(_priced(stamp, usage, reported, cost))
        return b"".join(held) + DONE

    def failure(self, document: dict[str, Any]) -> bytes:
        """The event that ends a stream which broke."""
        return encode(document)

    def _within(self, event: bytes) -> bytes:
        if self.capped:
            return b""
        out = self._passed(event)
        if self.tokens_seen <= self._most_tokens:
            return out
        self.capped = True
        return b""

    def _passed(self, event: bytes) -> bytes:
        # The first chunk is always read: it tells the id and the model that an end of our own would need.
        if self.started and len(event) <= SMALL_EVENT and (_OPEN[0] in event or _OPEN[1] in event) and self._plain(event):
            if not _is_empty(event):
                self.tokens_seen += 1
            return event
        return self._examined(event)

    def _plain(self, event: bytes) -> bool:
        if self._choices > 1 and event.count(b'"finish_reason"') > 1:
            return False
        return _USAGE not in event or _NO_USAGE[0] in event or _NO_USAGE[1] in event

    def _examined(self, event: bytes) -> bytes:
        data = data_of(event)
        if not data:
            # A comment keeps a connection alive; before the first chunk it would only end the chance to fall back.
            return event if self.started else b""
        if data == b"[DONE]":
            self.done = True
            return b""
        return self._read(event, _parsed(data))

    def _read(self, event: bytes, document: dict[str, Any]) -> bytes:
        error = document.get("error")
        if error is not None:
            self.error = error if isinstance(error, dict) else {"message": "upstream error"}
            self._note_usage(document)
            return b""
        choices = document.get("choices")
        if not isinstance(choices, list):
            raise StreamMalformedError("a chunk without choices")
        had_usage = self._note_usage(document)
        if not choices and had_usage:
            return b""
        finished = self._checked(choices)
        if had_usage:
            try:
                event = encode({key: value for key, value in document.items() if key != "usage"})
            except TypeError:
                raise StreamMalformedError("a chunk that is nested too deeply") from None
        self.started = True
        if not finished:
            self.tokens_seen += _tokens(event, choices)
            return event
        self._finished.update(finished)
        self._held.append(event)
        return b""

    def _checked(self, choices: list[Any]) -> list[int]:
        """The indexes of the choices that finish with this chunk. Raises :class:`StreamMalformedError`."""
        finished = []
        for choice in choices:
            if not isinstance(choice, dict):
                raise StreamMalformedError("a choice that is no object")
            index = choice.get("index", 0)
            if type(index) is not int or not 0 <= index < self._choices:
                raise StreamMalformedError("a choice whose index is none of those asked for")
            if choice.get("finish_reason") is not None:
                finished.append(index)
        return finished

    def _note_usage(self, document: dict[str, Any]) -> bool:
        for key in ("id", "created", "model", "object", "system_fingerprint", "service_tier"):
            if isinstance(document.get(key), str | int):
                self._stamp[key] = document[key]
        reported = document.get("usage")
        usage = read_usage(reported)
        if usage is not None:
            self.usage = usage
            self._stamp["usage"] = reported
        return reported is not None


def _priced(stamp: dict[str, Any], usage: Usage, reported: dict[str, Any] | None, cost: dict[str, str]) -> bytes:
    """The usage chunk: what the upstream reported where it can be written again, with the cost."""
    if reported is not None:
        try:
            return encode({**stamp, "choices": [], "usage": {**reported, **cost}})
        except TypeError:
            pass  # nested deeper than it can be written: the counts that were read from it say all that is charged
    return encode({**stamp, "choices": [], "usage": {**usage_document(usage), **cost}})


def _is_empty(event: bytes) -> bool:
    """Whether a chunk says nothing."""
    return _EMPTY[0] in event or _EMPTY[1] in event or _EMPTY[2] in event or _EMPTY[3] in event


def _tokens(event: bytes, choices: list[dict[str, Any]]) -> int:
    """A lower bound of the output tokens of a chunk."""
    if len(event) <= SMALL_EVENT:
        return int(bool(choices) and not _is_empty(event))
    return sum(least_tokens(text) for text in [_said(choice.get("delta")) for choice in choices] if text)


def _said(delta: object) -> str:
    """All that a delta says: its text, its reasoning, its tool calls' names and arguments."""
    found: list[str] = []
    left = [delta]
    while left:
        value = left.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            left += [each for key, each in value.items() if key not in _NOT_SAID]
        elif isinstance(value, list):
            left += value
    return "".join(found)


def encode(document: dict[str, Any]) -> bytes:
    """The document as one event."""
    return b"data: " + orjson.dumps(document) + b"\n\n"


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise StreamMalformedError("an event that is not JSON") from None
    if not isinstance(document, dict):
        raise StreamMalformedError("an event that is not an object")
    return document
