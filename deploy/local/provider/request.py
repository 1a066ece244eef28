"""A request as it came over HTTP."""

from __future__ import annotations

from typing import NamedTuple


class Request(NamedTuple):
    """Method and target as sent, header names in the sender's case, the body whole."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    keep_alive: bool
