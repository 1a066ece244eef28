"""Array parameters as Postgres literals: one text per column is the cheapest way to hand many rows to one statement."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from uuid import UUID


def plain(values: Iterable[object]) -> str:
    """Numbers and words: values whose text needs no quotes. None is NULL."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def uuids(values: Iterable[UUID | None]) -> str:
    """UUIDs as bare hexadecimal digits: Python writes them several times faster than the usual form."""
    return "{" + ",".join(["NULL" if value is None else f"{value.int:032x}" for value in values]) + "}"


def texts(values: Iterable[str | None]) -> str:
    """Texts, quoted. None is NULL; a text with a NUL character must have been refused before."""
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def packed(values: Sequence[bytes]) -> tuple[bytes, str, str]:
    """Long texts end to end, and where each begins (from 1) and its size: nothing need be quoted, nor read again as quoted."""
    sizes = [len(value) for value in values]
    return b"".join(values), plain(accumulate(sizes[:-1], initial=1)), plain(sizes)


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
