"""Receipts of requests that were refused before the ledger knew of them: what RequestRejected says, as analytics has it."""

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

import httpx

from services.edge.errors import PeerUnavailableError
from services.edge.settlement import json_object

COPIED = (
    "project_id",
    "key_id",
    "key_name",
    "environment",
    "tags",
    "run_id",
    "client_request_id",
    "client_api",
    "requested_model",
)
DOTS = {".", ".."}
"""They would lead to another call of analytics, and nothing has such a name."""
EMPTY: dict[str, Any] = {"plan": [], "attempts": [], "fallbacks": [], "holds": [], "charge": None, "balance": None}


class Rejections(Protocol):
    """Where refused requests are looked up."""

    async def find(self, account_id: str, request_id: str) -> dict[str, Any] | None:
        """The receipt of the account's refused request, None where there is none of that id (or not yet: it takes seconds)."""


class NoRejections:
    """For an edge that was told of no analytics: there is nothing to look up."""

    async def find(self, account_id: str, request_id: str) -> dict[str, Any] | None:
        """None."""
        return None


class AnalyticsRejections:
    """Looks them up at analytics. Raises :class:`PeerUnavailableError` where that does not answer."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def find(self, account_id: str, request_id: str) -> dict[str, Any] | None:
        """As :class:`Rejections` says."""
        if {account_id, request_id} & DOTS:
            return None
        path = f"/internal/accounts/{quote(account_id, safe='')}/rejections/{quote(request_id, safe='')}"
        try:
            reply = await self._client.get(path)
        except httpx.HTTPError as error:
            raise PeerUnavailableError(f"analytics cannot be reached: {error!r}") from error
        if reply.status_code in {400, 422}:
            return None
        if reply.status_code != 200:
            raise PeerUnavailableError(f"analytics answered {reply.status_code} to {path}")
        rows = json_object(reply)["data"]
        return refused_receipt(account_id, request_id, rows[0]) if rows else None


def refused_receipt(account_id: str, request_id: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A receipt in the shape of settlement's, of a request that cost nothing because nothing was done."""
    refusal = {"code": row["code"], "message": row["message"], "http_status": row["http_status"]}
    nothing = {"envelope": None, "needed_nano": None, "left_nano": None, "held_nano": None}
    asked = f"asked for {row['requested_model']}" if row["requested_model"] else "sent a request"
    sentences = [
        f"Key {row['key_name'] or row['key_id']} of project {row['project_id']} {asked} and was refused: {row['message']}",
        "No provider was called, no money was held, and nothing was charged.",
    ]
    return (
        {"object": "receipt", "request_id": request_id, "status": "refused", "account_id": account_id}
        | {name: row[name] or None for name in COPIED}
        | {"tags": row["tags"], "accepted_at": row["occurred_at"], "refusal": refusal | nothing, "explanation": sentences}
        | EMPTY
    )
