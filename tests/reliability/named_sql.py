"""The named statements of the proofs' own `.sql` files."""

from functools import cache
from pathlib import Path


@cache
def named(file: str) -> dict[str, bytes]:
    """Each block of the file by its name."""
    blocks = (Path(__file__).parent / file).read_text("utf-8").split("-- name: ")[1:]
    return {name.strip(): text.encode() for name, _, text in (block.partition("\n") for block in blocks)}
