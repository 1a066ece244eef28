"""What Anthropic bills at another price than its list's, or beside the tokens: refused by name, as no hold covers it. Pure."""

from __future__ import annotations

from typing import Any

from services.router.dialects.chat_parts import Json
from services.router.dialects.dialect import no_meaning

ONLY: dict[str, tuple[Any, ...]] = {
    "inference_geo": (None, "global"),
    "speed": (None, "standard"),
    "container": (None,),
    "mcp_servers": (None, []),
}
"""Parameters that change the price, with the values that do not."""
LIFETIMES = (None, "5m")
"""A cache that lives longer is written at a higher price."""
_PLACES = ("system", "messages", "tools", "content")


def refuse_unpriced(request: Json) -> None:
    """Raise the refusal of the first such thing in a request of the client's own. Raises :class:`UpstreamError` (400)."""
    for name, allowed in ONLY.items():
        if request.get(name) not in allowed:
            raise no_meaning(name, f"{name} is billed apart from the tokens' list price and is not supported here.")
    waiting: list[Any] = [request]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting += each
        elif isinstance(each, dict):
            check_cache(each.get("cache_control"))
            waiting += [each[name] for name in _PLACES if isinstance(each.get(name), list)]


def check_cache(control: Any) -> None:
    """Raise the refusal of a cache that lives longer than the price list says."""
    if isinstance(control, dict) and control.get("ttl") not in LIFETIMES:
        raise no_meaning("cache_control.ttl", "Only a cache of five minutes is priced here: leave ttl out.")
