"""Asks another service in the name of the caller: with their token, so that it decides by what they may."""

from typing import Any
from urllib.parse import quote

import httpx
import structlog

from services.analytics.errors import TransientError

log = structlog.get_logger(__name__)
TIMEOUT = httpx.Timeout(4, connect=1)
MOST_BYTES = 8 * 1024 * 1024
AUTHORIZATION = "authorization"


def one_segment(name: str) -> str:
    """A name as one segment of a path, whatever it is: a client reads `..` as the way to another call."""
    return quote(name, safe="").replace(".", "%2E")


class PeerAwayError(TransientError):
    """The other service does not answer: ask again shortly."""


class Peer:
    """One of the other services. `url` empty: analytics was not told where it is."""

    def __init__(self, name: str, url: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._name = name
        self._configured = bool(url)
        self._http = httpx.AsyncClient(base_url=url, timeout=TIMEOUT, trust_env=False, transport=transport)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def get(self, path: str, authorization: str) -> httpx.Response:
        """Its answer, whatever it is, to whoever presents the header. Raises PeerAwayError."""
        if not self._configured:
            variable = f"TOLLBOOK_{self._name.upper()}_URL"
            raise PeerAwayError(f"Analytics was not told where {self._name} is: set {variable} and start it again.")
        try:
            reply = await self._http.get(path, headers={AUTHORIZATION.encode(): authorization.encode("latin-1")})
        except httpx.HTTPError as error:
            log.warning("peer_away", peer=self._name, error=type(error).__name__, detail=str(error)[:200])
            raise PeerAwayError(f"{self._name.capitalize()} does not answer: ask again shortly.") from error
        if reply.status_code >= 500 or len(reply.content) > MOST_BYTES:
            raise PeerAwayError(f"{self._name.capitalize()} cannot answer now: ask again shortly.")
        return reply

    async def json(self, path: str, authorization: str) -> dict[str, Any]:
        """What it answers. Raises PeerAwayError, also where it refuses."""
        reply = await self.get(path, authorization)
        try:
            found = reply.json()
        except ValueError:
            found = None
        if reply.status_code != 200 or not isinstance(found, dict):
            raise PeerAwayError(f"{self._name.capitalize()} answered {reply.status_code}: ask again shortly.")
        return found
