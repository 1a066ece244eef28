"""What a provider understood of a request, whatever the wire format it came in."""

from __future__ import annotations

from typing import NamedTuple

from deploy.local.provider.vectors import Vectors


class Pace(NamedTuple):
    """When the bytes go out, all in milliseconds.

    `latency_ms` passes before the first byte, `ttft_ms` before the first event of a stream and
    `chunk_ms` between the events of a stream.
    """

    latency_ms: float = 0
    ttft_ms: float = 0
    chunk_ms: float = 0

    def over(self, base: Pace) -> Pace:
        """This pace where it says something, `base` elsewhere."""
        return Pace(
            self.latency_ms or base.latency_ms,
            self.ttft_ms or base.ttft_ms,
            self.chunk_ms or base.chunk_ms,
        )


INSTANT = Pace()


class Usage(NamedTuple):
    """Token counts of one reply over all its choices.

    `cached` (read from a cache) and `cache_write` are parts of `prompt`, `reasoning` is part of `completion`.
    """

    prompt: int
    cached: int
    completion: int
    reasoning: int
    cache_write: int = 0


class ToolCall(NamedTuple):
    """The one function that the simulated model calls. `arguments` is JSON text."""

    name: str
    arguments: str


class Ask(NamedTuple):
    """One request, decided: everything that the reply needs and nothing about how it is written.

    `words` is the visible output of one choice in tokens (one filler word is one token), `start` where
    in the filler text it begins; `literal` is said instead of filler where a schema asks for JSON.
    `finish` is "stop" or "length"; a tool call that was not cut finishes in the dialect's own way.
    `shows_thinking` says whether the reasoning is told to the client, `vectors` is the answer of an embedding.
    """

    model: str
    usage: Usage
    words: int
    start: int
    choices: int
    finish: str
    stream: bool
    include_usage: bool
    obfuscate: bool
    tool: ToolCall | None
    pace: Pace
    literal: str | None = None
    shows_thinking: bool = False
    vectors: Vectors | None = None


class Shape(NamedTuple):
    """What tests may know of a request body: its form, and never its text."""

    model: str | None
    keys: tuple[str, ...]
    max_tokens: int | None
    stream: bool
    include_usage: bool
    choices: int
    messages: int
    tools: int
