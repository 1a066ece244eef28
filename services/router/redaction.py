"""A provider may repeat the key that it was sent, most often in its refusal of that key: nobody else gets to see it. Pure."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from functools import lru_cache
from urllib.parse import quote

import orjson

SHORTEST = 8
"""A shorter key is a word: it is no secret, and would be cut out of ordinary texts."""
HIDDEN = b"[redacted]"


def without_key(body: bytes, key: str) -> bytes:
    """The body with the key cut out wherever it stands as it is."""
    plain = key.encode()
    return body.replace(plain, HIDDEN) if len(plain) >= SHORTEST and plain in body else body


def mentions(text: bytes, key: str) -> bool:
    """Whether a text has the key in it, in one of the forms in which programs repeat what they were sent."""
    return len(key) >= SHORTEST and any(form in text for form in _forms(key))


def safe_id(found: str | None, key: str) -> str | None:
    """A provider's id of its reply, None for one that has the key in it."""
    return None if found is None or mentions(found.encode(), key) else found


class Cleaned:
    """The parts of a stream without the key, as far as it lies within one part."""

    __slots__ = ("_key", "_parts")

    def __init__(self, parts: AsyncIterator[bytes], key: str) -> None:
        self._parts = parts
        self._key = key

    def __aiter__(self) -> Cleaned:
        return self

    async def __anext__(self) -> bytes:
        return without_key(await anext(self._parts), self._key)


@lru_cache(maxsize=4_096)
def _forms(key: str) -> tuple[bytes, ...]:
    plain = key.encode()
    escaped = orjson.dumps(key)[1:-1]
    forms = {plain, escaped, escaped.replace(b"/", rb"\/"), plain[::-1], plain.hex().encode(), plain.hex().upper().encode()}
    forms |= {quote(key, safe="").encode(), quote(quote(key, safe=""), safe="").encode(), quote(key).encode()}
    for before in range(3):
        # As it stands inside the base64 of something longer, such as a whole header: without what its neighbours decide.
        encoded = base64.b64encode(bytes(before) + plain)
        inner = encoded[(0, 2, 3)[before] : len(encoded) - (4 if (before + len(plain)) % 3 else 0)]
        forms |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return tuple(forms)
