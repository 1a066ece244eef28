"""A provider's thinking blocks where an API has no place for them: sealed in a text, opened when they come back. Pure."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson

Json = dict[str, Any]
SEALED = "tb1."
"""What begins the `encrypted_content` of reasoning that came through here in blocks of a provider's own."""


def sealed(blocks: list[Json]) -> str:
    """A provider's thinking blocks as the `encrypted_content` of a reasoning item: opaque, to be sent back as they are."""
    return SEALED + base64.b64encode(orjson.dumps(blocks)).decode()


def is_ours(content: Any) -> bool:
    """Whether an `encrypted_content` was sealed here: it means nothing to any provider."""
    return isinstance(content, str) and content.startswith(SEALED)


def opened(content: Any) -> list[Json]:
    """The blocks in an `encrypted_content` of ours; none in anyone else's."""
    if not is_ours(content):
        return []
    try:
        found = orjson.loads(base64.b64decode(content[len(SEALED) :], validate=True))
    except (binascii.Error, ValueError):
        return []
    return found if isinstance(found, list) and all(isinstance(block, dict) for block in found) else []
