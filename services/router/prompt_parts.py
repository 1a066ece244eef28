"""The parts of a request whose tokens can be counted better than by their bytes: long texts and images. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from services.router.images import Image

LONG_BYTES = 64
"""A description that is shorter is left to its bytes: counting it gains nothing."""
SHORT_TEXT = 8
"""A text of fewer letters is left to its bytes, too."""
SHORT_TEXTS_MAX = 20_000
"""So many texts that are shorter than `LONG_BYTES` are counted, some 1 us each; the rest stay at their bytes."""
_ROLES = frozenset({"user", "assistant", "system", "developer"})
_AROUND = len('{"role":"","content":""}')
_INSIDE = ("content", "parts", "output")
"""Where a message, an item or a part holds further parts. A tool's arguments are not among them: they are JSON that the
provider writes anew."""
_TEXTS = ("content", "text", "output")


class PromptParts(NamedTuple):
    """`texts` as the provider reads them; `notes` may reach it as they are or as JSON; `images` with their addresses.

    `around` are the bytes of JSON around messages that say no more than a role and a text: what a provider makes of these
    is in the tokens that each message is allowed.
    """

    texts: list[str]
    notes: list[str]
    images: list[Image]
    around: int


def parts_of(document: dict[str, Any]) -> PromptParts:
    """The parts of a request of any client API: chat completions, responses, messages, embeddings."""
    parts = PromptParts([], [], [], _around(document.get("messages")) + _around(document.get("input")))
    for name in ("messages", "input", "system", "instructions"):
        value = document.get(name)
        if isinstance(value, str):
            _take(parts, value)
        elif isinstance(value, list) and not (value and type(value[0]) is int):
            _walk(parts, value)
    _leave_out(parts.texts)
    tools = document.get("tools")
    if isinstance(tools, list):
        parts.notes.extend(text for text in _descriptions(tools) if len(text) >= LONG_BYTES)
    return parts


def as_json(text: str) -> str:
    """The text as it stands inside a JSON string."""
    return orjson.dumps(text).decode()[1:-1]


def _around(messages: Any) -> int:
    if not isinstance(messages, list) or not messages or not isinstance(messages[0], dict):
        return 0
    return sum(
        _AROUND + len(each["role"])
        for each in messages
        if isinstance(each, dict)
        and len(each) == 2
        and isinstance(each.get("content"), str)
        and isinstance(each.get("role"), str)
        and each["role"] in _ROLES
    )


def _leave_out(texts: list[str]) -> None:
    """Leave the short texts beyond the number that is counted to their bytes."""
    short = [text for text in texts if len(text) < LONG_BYTES]
    if len(short) > SHORT_TEXTS_MAX:
        texts[:] = [text for text in texts if len(text) >= LONG_BYTES] + short[:SHORT_TEXTS_MAX]


def _walk(parts: PromptParts, items: list[Any]) -> None:
    """Everything below, without recursion: how deep it goes is the client's choice."""
    waiting = list(items)
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            _take(parts, item)
        elif isinstance(item, dict):
            image = _image(item)
            if image is not None:
                parts.images.append(image)
                continue
            for name in _TEXTS:
                if isinstance(item.get(name), str):
                    _take(parts, item[name])
            for name in _INSIDE:
                if isinstance(item.get(name), list):
                    waiting.extend(item[name])


def _take(parts: PromptParts, text: str) -> None:
    if len(text) >= SHORT_TEXT:
        parts.texts.append(text)


def _image(part: dict[str, Any]) -> Image | None:
    """The image of a part in the shape of one of the client APIs."""
    kind = part.get("type")
    if kind not in ("image_url", "input_image", "image"):
        return None
    detail = part.get("detail")
    given = part.get("image_url")
    if isinstance(given, dict):
        detail, given = given.get("detail"), given.get("url")
    source = part.get("source")
    if kind == "image" and isinstance(source, dict):
        given = source.get("data") if isinstance(source.get("data"), str) else source.get("url")
    return Image(given if isinstance(given, str) else "", detail if isinstance(detail, str) else None)


def _descriptions(tools: list[Any]) -> Iterator[str]:
    """What tools and the properties of their parameters say of themselves."""
    waiting: list[Any] = list(tools)
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting.extend(each)
        elif isinstance(each, dict):
            if isinstance(each.get("description"), str):
                yield each["description"]
            waiting.extend(value for value in each.values() if isinstance(value, dict | list))
