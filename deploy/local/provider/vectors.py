"""Embeddings: vectors of length 1 made from a text's hash, the same in every process and on every machine."""

from __future__ import annotations

import base64
import struct
from functools import lru_cache
from math import sqrt
from typing import NamedTuple

DIMENSIONS = {"text-embedding-3-large": 3072, "gemini-embedding-001": 3072}
DIMENSIONS_OF_OTHERS = 1536
_MULTIPLIER, _INCREMENT, _MODULUS = 1_664_525, 1_013_904_223, 2**32


class Vectors(NamedTuple):
    """What a reply with embeddings holds: a hash of each input, the length of the vectors, and whether they are packed."""

    digests: tuple[int, ...]
    dimensions: int
    packed: bool = False


def dimensions_of(model: str) -> int:
    """The dimensions of a model's vectors where a request names none."""
    return DIMENSIONS.get(model, DIMENSIONS_OF_OTHERS)


@lru_cache(maxsize=1024)
def vector(digest: int, dimensions: int) -> tuple[float, ...]:
    """The vector of a text, by its hash."""
    found, state = [], digest
    for _ in range(dimensions):
        state = (state * _MULTIPLIER + _INCREMENT) % _MODULUS
        found.append(state / _MODULUS - 0.5)
    length = sqrt(sum(value * value for value in found)) or 1.0
    return tuple([round(value / length, 8) for value in found])


def packed(values: tuple[float, ...]) -> str:
    """A vector as base64 of 32-bit floats, little-endian."""
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
