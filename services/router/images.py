"""How many tokens an image is billed for, by the rules that providers document. Pure.

A rule applies to the models that it is documented for, and only where the image's size is in the request itself. The bound that
the route table declares for the model holds in every other case, and above every rule.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from io import BytesIO
from typing import NamedTuple

import imagesize

HEAD_CHARS = 256 * 1024
"""So much of an image's base64 is read for its size: a header that is longer (embedded profiles) leaves the declared bound."""
SIDE_MAX = 65_536
_HEAD = re.compile(r"data:image/[a-z+.-]+;base64,", re.IGNORECASE)
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")
_DATED = r"(-\d{4}-\d{2}-\d{2})?"


class Image(NamedTuple):
    """An image part: its address or data as the client wrote it, and the detail that it asked for."""

    address: str
    detail: str | None = None


class Size(NamedTuple):
    """Pixels."""

    width: int
    height: int


def size_of(address: str) -> Size | None:
    """The size of an image whose data is in its address, None for one elsewhere or of a format without a plain header."""
    head = _HEAD.match(address)
    if head is None:
        return None
    text = address[head.end() : head.end() + HEAD_CHARS]
    try:
        data = base64.b64decode(text[: len(text) // 4 * 4], validate=True)
    except (binascii.Error, ValueError):
        return None
    if not data.startswith(_MAGIC) and not (data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
        return None
    try:
        width, height = imagesize.get(BytesIO(data))
    except Exception:  # noqa: BLE001 - the library reads hostile headers: whatever breaks it has no size
        return None
    return Size(width, height) if 0 < width <= SIDE_MAX and 0 < height <= SIDE_MAX else None


def image_tokens(upstream_model: str, image: Image, declared: int) -> int:
    """The most tokens that the image can be billed for: `declared` where no documented rule says less."""
    rule = next((rule for names, rule in _RULES if names.fullmatch(upstream_model)), None)
    size = size_of(image.address)
    if rule is None or size is None or image.detail not in (None, "auto", "low", "high"):
        return declared
    return min(declared, rule(size))


def _tiles(base: int, tile: int) -> Callable[[Size], int]:
    """OpenAI: scaled into 2048 x 2048, then to 768 on its shorter side, then counted in tiles of 512."""

    def tokens(size: Size) -> int:
        width, height = size
        if max(width, height) > 2048:
            longest = max(width, height)
            width, height = -(-width * 2048 // longest), -(-height * 2048 // longest)
        if min(width, height) > 768:
            shortest = min(width, height)
            width, height = -(-width * 768 // shortest), -(-height * 768 // shortest)
        return base + tile * -(-width // 512) * -(-height // 512)

    return tokens


def _patches(hundredths: int) -> Callable[[Size], int]:
    """OpenAI's small models: patches of 32 pixels, 1,536 at the most, times a factor."""

    def tokens(size: Size) -> int:
        patches = min(-(-size.width // 32) * -(-size.height // 32), 1536)
        return -(-patches * hundredths // 100)

    return tokens


_RULES = tuple(
    (re.compile(f"(?:{names}){_DATED}"), rule)
    for names, rule in (
        (r"gpt-4o-mini", _tiles(2833, 5667)),
        (r"gpt-4o|gpt-4\.1", _tiles(85, 170)),
        (r"o1|o1-pro|o3", _tiles(75, 150)),
        (r"gpt-5|gpt-5-chat-latest", _tiles(70, 140)),
        (r"gpt-5-mini|gpt-4\.1-mini", _patches(162)),
        (r"gpt-5-nano|gpt-4\.1-nano", _patches(246)),
        (r"o4-mini", _patches(172)),
    )
)
"""Other providers' rules would save little: their largest images are a few thousand tokens, which the table should declare."""
