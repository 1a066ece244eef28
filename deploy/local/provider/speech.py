"""What a reply says, in as many even parts as a stream wants: filler words, or JSON where a schema asked for it."""

from __future__ import annotations

from itertools import pairwise

from deploy.local.provider import filler
from deploy.local.provider.ask import Ask
from deploy.local.provider.tokens import CHARS_PER_TOKEN

THINKING_STEPS = 7
"""The reasoning begins this many words after the answer's first, so that the two differ."""


def said(ask: Ask) -> str:
    """The visible text of a reply without a tool call."""
    if ask.literal is not None:
        return ask.literal[: ask.words * CHARS_PER_TOKEN] if ask.finish == "length" else ask.literal
    return filler.text(ask.start, ask.words).decode()


def parts(ask: Ask, count: int) -> list[str]:
    """The same text in `count` parts, of which the first n hold the n-th share of the words, rounded down."""
    if ask.literal is not None:
        return _split(said(ask), count)
    words = [word.decode() for word in filler.tokens(ask.start, ask.words)]
    edges = [ask.words * index // count for index in range(count + 1)]
    return ["".join(words[first:last]) for first, last in pairwise(edges)]


def thought(ask: Ask) -> str:
    """The reasoning of one choice in words."""
    return filler.text(ask.start + THINKING_STEPS, ask.usage.reasoning // ask.choices).decode()


def thought_parts(ask: Ask, count: int) -> list[str]:
    """The reasoning in `count` parts."""
    return _split(thought(ask), count)


def _split(text: str, count: int) -> list[str]:
    edges = [len(text) * index // count for index in range(count + 1)]
    return [text[first:last] for first, last in pairwise(edges)]
