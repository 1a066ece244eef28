"""From what a request wants to the reply that it gets: the same for every dialect that hands in a `Wish`."""

from __future__ import annotations

from typing import NamedTuple

from deploy.local.provider.ask import Ask, ToolCall
from deploy.local.provider.tokens import (
    CHARS_PER_TOKEN,
    Script,
    count,
    derived_output,
    prompt_tokens,
    text_hash,
)
from deploy.local.provider.toolcalls import tool_tokens

DERIVED_THINKING_MAX = 32


class Wish(NamedTuple):
    """One request without its wire format. `media_tokens` is what images cost; `literal` is JSON that a schema asked for."""

    model: str
    text: str
    messages: int
    media_tokens: int
    cap: int | None
    choices: int
    stream: bool
    tool: ToolCall | None
    literal: str | None
    thinks: bool
    shows_thinking: bool


def decide(wish: Wish, script: Script) -> Ask:
    """The reply to a wish. Raises RefusedError (400) where it would be larger than the simulator writes."""
    digest = text_hash(wish.text)
    derived = _visible(wish, digest)
    if wish.thinks and script.output_tokens is None and not script.reasoning_tokens:
        script = script._replace(reasoning_tokens=digest % DERIVED_THINKING_MAX + 1)
    prompt = prompt_tokens(len(wish.text), wish.messages) + wish.media_tokens
    counted = count(script, prompt, derived, wish.cap, wish.choices)
    tool = wish.tool
    if tool is not None and counted.cut:
        tool = tool._replace(arguments=tool.arguments[: counted.visible * CHARS_PER_TOKEN])
    return Ask(
        wish.model, counted.usage, counted.visible, digest, wish.choices, "length" if counted.cut else "stop",
        wish.stream, wish.stream, False, tool, script.pace, wish.literal, wish.shows_thinking,
    )  # fmt: skip


def _visible(wish: Wish, digest: int) -> int:
    if wish.tool is not None:
        return tool_tokens(wish.tool)
    if wish.literal is not None:
        return -(-len(wish.literal) // CHARS_PER_TOKEN)
    return derived_output(digest)
