"""Whose access token it is: edge says, and what it said is remembered for a second."""

import hashlib
import time
from collections.abc import Callable
from typing import NamedTuple

import httpx
import structlog
from cachetools import TLRUCache
from pydantic import ValidationError

from schemas.access import (
    INTROSPECTION_MEMORY_S,
    Introspection,
    IntrospectionAsk,
    Principal,
    is_access_token,
)
from services.analytics.errors import IdentityUnavailableError

log = structlog.get_logger(__name__)
REMEMBERED = 4096
TIMEOUT = httpx.Timeout(3, connect=1)


class _Told(NamedTuple):
    principal: Principal | None
    until_s: float


class Identity:
    """Asks edge. A token that is taken back counts nowhere any more a second later."""

    def __init__(
        self,
        edge_url: str,
        service_token: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._configured = bool(edge_url and service_token)
        self._clock = clock
        self._told: TLRUCache[bytes, _Told] = TLRUCache(REMEMBERED, lambda _, told, __: told.until_s, clock)
        self._http = httpx.AsyncClient(
            base_url=edge_url,
            headers={"authorization": f"Bearer {service_token}"},
            timeout=TIMEOUT,
            trust_env=False,
            transport=transport,
        )

    async def close(self) -> None:
        """Close the connections to edge."""
        await self._http.aclose()

    async def principal(self, token: str) -> Principal | None:
        """Who presents the token, None where it is worth nothing. Raises IdentityUnavailableError where edge does not say."""
        if not is_access_token(token):
            return None
        name = hashlib.sha256(token.encode()).digest()
        if (told := self._told.get(name)) is not None:
            return told.principal
        # From before the question on: what is remembered is never older than that.
        until_s = self._clock() + INTROSPECTION_MEMORY_S
        principal = (await self._asked(token)).principal()
        self._told[name] = _Told(principal, until_s)
        return principal

    async def _asked(self, token: str) -> Introspection:
        if not self._configured:
            raise _unavailable("set TOLLBOOK_EDGE_URL and TOLLBOOK_ANALYTICS_TOKEN, and start analytics again")
        try:
            reply = await self._http.post("/internal/introspect", content=IntrospectionAsk(token=token).to_json())
            reply.raise_for_status()
            return Introspection.model_validate_json(reply.content)
        except (httpx.HTTPError, ValidationError) as error:
            log.warning("identity_unavailable", error=type(error).__name__, detail=str(error)[:200])
            raise _unavailable("edge does not say whose token it is: ask again, or use the admin token") from error


def _unavailable(advice: str) -> IdentityUnavailableError:
    return IdentityUnavailableError(f"Access tokens cannot be checked now: {advice}.")
