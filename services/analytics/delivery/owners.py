"""Whose it is: names of account, project, key and owners, asked of edge when a message is made, and remembered for a while."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

import httpx
import structlog
from cachetools import TTLCache

from services.analytics.delivery.notice import NOBODY, Notice, Owner

REMEMBERED, REMEMBERED_S = 2_048, 300.0
TIMEOUT_S = 5.0
AWAY_S = 10.0
"""A message does not wait longer for names: it has the ids."""
MOST_PEOPLE = 100
log = structlog.get_logger("analytics.delivery")


class Owners(Protocol):
    """Who knows names."""

    async def owner(self, notice: Notice) -> Owner:
        """The names; empty ones where they are not known in time. Never raises."""


class NoNames:
    """Ids only: where edge's address is not set."""

    async def owner(self, notice: Notice) -> Owner:
        """No names."""
        return NOBODY


class EdgeOwners:
    """Asks edge's admin calls."""

    def __init__(
        self,
        edge_url: str,
        admin_token: str,
        *,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._away_until = float("-inf")
        self._told: TTLCache[str, Any] = TTLCache(REMEMBERED, REMEMBERED_S, clock)
        headers = {"authorization": f"Bearer {admin_token}"}
        self._http = httpx.AsyncClient(base_url=edge_url, headers=headers, timeout=timeout_s, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def owner(self, notice: Notice) -> Owner:
        """The names; empty ones where edge does not say in time."""
        if self._clock() < self._away_until:
            return NOBODY
        try:
            async with asyncio.timeout(self._timeout_s):
                key = notice.subject_id if notice.subject_kind == "key" else ""
                account, project, key_name, people = await asyncio.gather(
                    self._name("accounts", notice.account_id),
                    self._name("projects", notice.project_id),
                    self._name("keys", key),
                    self._people(notice.account_id),
                )
        except (httpx.HTTPError, TimeoutError, ValueError, KeyError, TypeError) as error:
            log.warning("names_unavailable", error=type(error).__name__, alert_id=notice.alert_id)
            self._away_until = self._clock() + AWAY_S
            return NOBODY
        return Owner(account_name=account, project_name=project, key_name=key_name, people=people)

    async def _name(self, kind: str, entity_id: str) -> str:
        if not entity_id:
            return ""
        found = await self._asked(f"/admin/{kind}/{entity_id}", {})
        return str(found.get("name", ""))

    async def _people(self, account_id: str) -> tuple[str, ...]:
        """The owners of an account."""
        if not account_id:
            return ()
        found = await self._asked("/admin/users", {"account_id": account_id, "limit": MOST_PEOPLE})
        return tuple(str(user["name"]) for user in found.get("data", []) if user["active"] and _owns(user, account_id))

    async def _asked(self, path: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """The reply, remembered; empty where there is no such thing."""
        name = f"{path}?{parameters}"
        if name not in self._told:
            reply = await self._http.get(path, params=parameters)
            if reply.status_code != 404:
                reply.raise_for_status()
            self._told[name] = reply.json() if reply.status_code == 200 else {}
        told: dict[str, Any] = self._told[name]
        return told


def _owns(user: dict[str, Any], account_id: str) -> bool:
    return any(grant["role"] == "owner" and grant["account_id"] == account_id for grant in user["grants"])
