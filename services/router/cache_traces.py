"""What of a request a provider's prompt cache would know it by, as a keyed hash: the text itself is never kept. Pure.

Providers cache the beginning of a prompt: Anthropic up to a block marked with `cache_control`, OpenAI from about a thousand
tokens on, where `prompt_cache_key` (and `user` before it) says which requests belong together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any

import orjson

from services.router.ask import Ask
from services.router.table import StickyBy

TRACE_BYTES = 16
PREFIX_BYTES = 4_096
"""About a thousand tokens: providers do not cache shorter prompts."""


def trace_of(ask: Ask, by: Iterable[StickyBy], scope: bytes, secret: bytes) -> bytes | None:
    """The request's trace, None where nothing in it says that a prompt cache matters.

    `scope` keeps accounts and models apart. `secret` is the hash's key (16 to 64 bytes), so that nobody can try texts out.
    """
    try:
        for each in by:
            known = _known_by(ask, each)
            if known is not None:
                hashed = blake2b(digest_size=TRACE_BYTES, key=secret)
                for part in (scope, each.encode(), known):
                    hashed.update(b"%d:" % len(part) + part)
                return hashed.digest()
    except TypeError:
        # A body that is nested deeper than it can be written: its upstream call fails for the same reason.
        return None
    return None


def _known_by(ask: Ask, by: StickyBy) -> bytes | None:
    if by == "cache_control":
        return _marked(ask)
    if by == "prefix":
        return _beginning(ask)
    for document in (ask.body, ask.native or {}):
        value = document.get(by)
        if isinstance(value, str) and value:
            return value.encode("utf-8", "surrogatepass")
    return None


def _marked(ask: Ask) -> bytes | None:
    """Everything up to the first block that is marked: later marks move on with the conversation, the first one stays."""
    before: list[Any] = []
    for block in _blocks(ask.native or ask.body):
        before.append(block)
        if isinstance(block, dict) and block.get("cache_control") is not None:
            return orjson.dumps(before)
    return None


def _beginning(ask: Ask) -> bytes | None:
    """The first bytes of the prompt, None for a prompt that is shorter."""
    found = bytearray()
    for block in _blocks(ask.native or ask.body):
        text = block[:PREFIX_BYTES] if isinstance(block, str) else None
        found += orjson.dumps(block) if text is None else text.encode("utf-8", "surrogatepass")
        if len(found) >= PREFIX_BYTES:
            return bytes(found[:PREFIX_BYTES])
    return None


def _blocks(document: dict[str, Any]) -> Iterator[Any]:
    """The prompt's blocks in the order in which providers read them: tools, system, what was said."""
    tools = document.get("tools")
    if isinstance(tools, list):
        yield from tools
    for name in ("system", "instructions"):
        yield from _parts(document.get(name))
    said = document.get("messages") or document.get("input")
    if isinstance(said, str):
        yield said
    for message in said if isinstance(said, list) else ():
        if isinstance(message, dict):
            yield from _parts(message.get("content"))


def _parts(content: Any) -> Iterable[Any]:
    if isinstance(content, str):
        return (content,)
    return content if isinstance(content, list) else ()
