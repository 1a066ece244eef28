"""Array parameters as Postgres literals: one text per column is the cheapest way to hand many rows to one statement."""

from collections.abc import Iterable


def plain(values: Iterable[object]) -> str:
    """Numbers, UUIDs and timestamps: values whose text needs no quotes. None is NULL."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def texts(values: Iterable[str | None]) -> str:
    """Texts, quoted. None is NULL; a text with a NUL character must have been refused before."""
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
