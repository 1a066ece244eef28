"""A reply that its dialect does not know: what it burned is still read, where it says so. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from services.router.dialects.openai import read_usage
from services.router.errors import UpstreamError
from services.router.upstream_ids import printable_id


def malformed(body: bytes, usage_field: str, usage_of: Callable[[Any], Any], id_field: str = "id") -> UpstreamError:
    """The failure of an attempt whose reply cannot be read, with the usage and the id that it has nevertheless."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        return UpstreamError("malformed_reply", "retry", status=200)
    usage = read_usage(usage_of(document.get(usage_field)))
    return UpstreamError("malformed_reply", "retry", status=200, usage=usage, upstream_id=printable_id(document.get(id_field)))
