"""Reads lists page by page."""

from collections.abc import Iterator
from typing import Any

from services.console.errors import UnreachableError
from services.console.service_client import ServiceClient

PAGE = 500
"""The most that one page of any list holds."""


def listed(client: ServiceClient, path: str, limit: int | None = None, **query: Any) -> dict[str, Any]:
    """The list as the API gives it, of as many pages as there are until `limit`; `next_after` is None where it is whole."""
    data: list[Any] = []
    after: str | None = None
    while True:
        size = PAGE if limit is None else min(PAGE, limit - len(data))
        page = _page(client, path, {**query, "after": after, "limit": size})
        data += page["data"]
        before, after = after, page.get("next_after")
        # A page that is empty may be followed by others: a filter of which the service looks at so many rows at a time.
        if after in {None, before} or (limit is not None and len(data) >= limit):
            return {"object": "list", "data": data, "next_after": after}


def rows(client: ServiceClient, path: str, **query: Any) -> Iterator[dict[str, Any]]:
    """Every row of a list, fetched as it is read."""
    after: str | None = None
    while True:
        page = _page(client, path, {**query, "after": after, "limit": PAGE})
        yield from page["data"]
        after = page.get("next_after")
        if after is None:
            return


def _page(client: ServiceClient, path: str, query: dict[str, Any]) -> dict[str, Any]:
    """One page. Raises UnreachableError where something else than the service answers."""
    found = client.get(path, **query)
    if not isinstance(found, dict) or not isinstance(found.get("data"), list):
        raise UnreachableError(f"what answers at {client.where} gave no list to {path}", "see that the URL is right")
    return found
