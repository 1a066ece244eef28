"""Who may call what under /admin: the installation's token may everything, a user what `schemas.access` says."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

import httpx
import structlog
from cachetools import TTLCache
from fastapi import Request
from pydantic import ValidationError

from schemas.access import (
    IDENTITY_UNAVAILABLE,
    INTROSPECTION_MEMORY_S,
    ROLE_NOT_ALLOWED,
    ROOT,
    Introspection,
    IntrospectionAsk,
    Permission,
    Principal,
    Verdict,
    is_access_token,
    refusal,
)
from services.router.change_log import Who
from services.router.errors import AdminError
from services.router.tokens import bears

REMEMBERED = 1_000
EDGE_TIMEOUT_S = 3.0
BEARER = "Bearer "
Check = Callable[[Request], Awaitable[None]]
log = structlog.get_logger(__name__)


class Identities:
    """Asks edge whose an access token is, and remembers the answer for a second, by a hash of the token."""

    def __init__(self, edge: httpx.AsyncClient | None, clock: Callable[[], float]) -> None:
        self._edge = edge
        self._known: TTLCache[bytes, Principal | None] = TTLCache(REMEMBERED, INTROSPECTION_MEMORY_S, clock)

    async def find(self, token: str) -> Principal | None:
        """Who it is, None for a token that is worth nothing. Raises :class:`AdminError` while edge does not answer."""
        name = hashlib.sha256(token.encode()).digest()
        if name in self._known:
            return self._known[name]
        found = (await self._asked(token)).principal()
        self._known[name] = found
        return found

    async def close(self) -> None:
        """Let go of the connection."""
        if self._edge is not None:
            await self._edge.aclose()

    async def _asked(self, token: str) -> Introspection:
        if self._edge is None:
            raise _away("this router is not told where edge is: set TOLLBOOK_EDGE_URL")
        try:
            reply = await self._edge.post("/internal/introspect", content=IntrospectionAsk(token=token).to_json())
            reply.raise_for_status()
            return Introspection.model_validate_json(reply.content)
        except (httpx.HTTPError, ValidationError) as exc:
            log.warning("introspection_failed", reason=type(exc).__name__)
            raise _away("edge did not say whose the access token is: try again shortly") from exc


class Guard:
    """Makes the checks that routes depend on. A check leaves the caller in `request.state.principal`."""

    def __init__(self, admin_token: bytes, identities: Identities) -> None:
        self._admin_token = admin_token
        self._identities = identities

    def needs(self, permission: Permission) -> Check:
        """Lets through who may do this in the installation as a whole: what router has belongs to no account."""

        async def check(request: Request) -> None:
            principal = await self.principal(request)
            if principal.verdict(permission, None) is not Verdict.ALLOWED:
                raise AdminError(403, ROLE_NOT_ALLOWED, refusal(permission))

        return check

    async def anybody(self, request: Request) -> None:
        """Lets through whoever has a token that is worth something."""
        await self.principal(request)

    async def principal(self, request: Request) -> Principal:
        """Who calls. Raises :class:`AdminError` (401, 503)."""
        authorization = request.headers.get("authorization", "")
        found: Principal | None = None
        if bears(authorization, self._admin_token):
            found = ROOT
        elif authorization.startswith(BEARER) and is_access_token(token := authorization.removeprefix(BEARER)):
            found = await self._identities.find(token)
        if found is None:
            message = "This call needs the admin token or a user's access token as 'Authorization: Bearer'."
            raise AdminError(401, "unauthorized", message)
        request.state.principal = found
        return found


def who_of(request: Request, author: str | None = None, reason: str | None = None) -> Who:
    """The caller of a change, which its check let through. Only the installation's token may name another author."""
    principal: Principal = request.state.principal
    told = (author or ROOT.name) if principal.root else principal.author
    client = request.client.host if request.client else None
    return Who(principal.user_id, principal.name, told, reason, request.state.request_id, client)


def _away(message: str) -> AdminError:
    return AdminError(503, IDENTITY_UNAVAILABLE, message[0].upper() + message[1:] + ".")
