"""The provider's own id of a reply: what its usage export and its support ask for. Pure."""

from __future__ import annotations

from collections.abc import Mapping

ID_CHARS_MAX = 128
_HEADERS = ("x-request-id", "request-id")


def printable_id(value: object) -> str | None:
    """The value where it is an id that may be written down: a short text of visible ASCII."""
    if isinstance(value, str) and 0 < len(value) <= ID_CHARS_MAX and value.isascii() and value.isprintable():
        return value
    return None


def header_id(headers: Mapping[str, str]) -> str | None:
    """The id that the reply's headers give."""
    for name in _HEADERS:
        found = printable_id(headers.get(name))
        if found is not None:
            return found
    return None
