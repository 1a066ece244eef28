"""Words that receipts and runs share when people read them."""

from collections.abc import Mapping
from typing import Any

RULE = "─" * 78
TOKEN_NAMES = {
    "input_tokens": "in",
    "cached_input_tokens": "cached",
    "cache_write_tokens": "cache write",
    "output_tokens": "out",
    "reasoning_tokens": "reasoning",
}


def tokens_said(usage: Mapping[str, Any]) -> str:
    """Token counts in words; classes without tokens are left out."""
    said = [f"{usage[field]} {name}" for field, name in TOKEN_NAMES.items() if usage.get(field)]
    return f"tokens: {', '.join(said)}" if said else "no tokens"


def counted(count: int, one: str, many: str = "") -> str:
    """A count with its noun: `1 request`, `2 retries`."""
    return f"{count} {one if count == 1 else many or one + 's'}"
