"""Where each service serves its OpenAPI document, and the page that it becomes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from deploy.reference.page import page

ADMIN = """Calls of operators, owners and members. `Authorization: Bearer` takes an access token (`tbu-…`) or the installation's
admin token; who may do what: [contracts](../contracts.md). Errors have one shape, lists are paged by `after` and `limit`."""
CLIENT = "Calls of programs. `Authorization: Bearer` (or `x-api-key`) takes an API key (`sk-tb-…`)."


@dataclass(frozen=True)
class Document:
    """`name` is the page's file; `place` the service's address in stack.json."""

    name: str
    place: str
    path: str
    introduction: str = ADMIN


DOCUMENTS = (
    Document("client", "edge_url", "/openapi.json", CLIENT),
    Document("edge-admin", "edge_url", "/admin/openapi.json"),
    Document("router-admin", "router_url", "/admin/openapi.json"),
    Document("settlement-admin", "settlement_url", "/admin/openapi.json"),
    Document("analytics-admin", "analytics_url", "/admin/openapi.json"),
)


def pages(described: Mapping[str, Any]) -> dict[str, str]:
    """Every page by its file's name. `described` is the content of `stack.json`."""
    headers = {"authorization": f"Bearer {described['admin_token']}"}
    found = {}
    with httpx.Client(headers=headers, timeout=30, trust_env=False) as client:
        for document in DOCUMENTS:
            reply = client.get(described[document.place] + document.path)
            reply.raise_for_status()
            found[f"{document.name}.md"] = page(reply.json(), introduction=document.introduction)
    return found
