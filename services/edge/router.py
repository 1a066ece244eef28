"""What edge asks of router: to answer a call, and which models there are."""

import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import httpx
import orjson

from schemas.plans import PlanAsk
from services.edge.context import CONTEXT_HEADER_NAME
from services.edge.errors import PassedOnError, PeerUnavailableError, PeerUnreachableError
from services.edge.peers import CONNECT_TIMEOUT_S

CATALOG_TTL_S = 5.0
JSON_HEADER = (b"content-type", b"application/json")
TRANSPORT_ERRORS = (httpx.HTTPError, aiohttp.ClientError)
"""What a broken connection raises; the transport leaves some of aiohttp's own errors untranslated."""
NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""The causes that prove that nothing was sent. The transport's own translation does not tell them from a broken connection."""


class Router:
    """Speaks to the transport itself on the hot path: nothing of httpx's client (cookies, redirects, auth) is wanted there."""

    def __init__(self, transport: httpx.AsyncBaseTransport, base_url: str, token: str, *, timeout_s: float) -> None:
        self._transport = transport
        self._base = base_url.rstrip("/")
        self._urls: dict[str, httpx.URL] = {}
        self._models_url = httpx.URL(f"{self._base}/internal/models")
        self._plan_url = httpx.URL(f"{self._base}/internal/route-plan")
        self._authorization = (b"authorization", b"Bearer " + token.encode())
        self._host = (b"host", self._models_url.netloc)
        self._timeouts = {"connect": CONNECT_TIMEOUT_S, "read": timeout_s, "write": timeout_s, "pool": CONNECT_TIMEOUT_S}
        self._models: tuple[float, list[dict[str, Any]]] | None = None

    async def complete(self, path: str, context: bytes, body: bytes) -> httpx.Response:
        """Pass a call on and return the open reply: close it. Raises :class:`PeerUnavailableError`."""
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = httpx.URL(self._base + path)
        return await self._send("POST", url, [JSON_HEADER, (CONTEXT_HEADER_NAME, context)], body)

    async def models(self) -> list[dict[str, Any]]:
        """The catalog, remembered for a few seconds."""
        if self._models is None or self._models[0] < time.monotonic():
            response = await self._send("GET", self._models_url, [], b"")
            try:
                content = await response.aread()
                models = list(orjson.loads(content)["data"]) if response.status_code == 200 else None
            except (*TRANSPORT_ERRORS, orjson.JSONDecodeError, KeyError, TypeError) as error:
                raise PeerUnavailableError("router's list of models cannot be read") from error
            finally:
                await response.aclose()
            if models is None:
                raise PeerUnavailableError(f"router answered {response.status_code} to its list of models")
            self._models = (time.monotonic() + CATALOG_TTL_S, models)
        return self._models[1]

    async def drains(self, model: str) -> bool:
        """Whether every channel of the model reads a call to its end whose client has left."""
        return any(each["id"] == model and each.get("drains") is True for each in await self.models())

    async def plan(self, asked: PlanAsk) -> dict[str, Any]:
        """Where a request would go. Raises :class:`PassedOnError` for what router refuses."""
        response = await self._send("POST", self._plan_url, [JSON_HEADER], asked.to_json())
        try:
            parsed = orjson.loads(await response.aread())
        except (*TRANSPORT_ERRORS, orjson.JSONDecodeError) as error:
            raise PeerUnavailableError("router's plan cannot be read") from error
        finally:
            await response.aclose()
        if response.status_code == 200 and isinstance(parsed, dict):
            return parsed
        error_fields = parsed.get("error") if isinstance(parsed, dict) else None
        if response.status_code in (403, 404, 422) and isinstance(error_fields, dict):
            raise PassedOnError(response.status_code, error_fields)
        raise PeerUnavailableError(f"router answered {response.status_code} to a dry run")

    async def _send(self, method: str, url: httpx.URL, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> httpx.Response:
        request = httpx.Request(
            method,
            url,
            headers=[self._host, self._authorization, *headers],
            content=body,
            extensions={"timeout": self._timeouts},
        )
        # Everything in them is ASCII; httpx would find that out anew for every look at them.
        request.headers.encoding = "ascii"
        try:
            return await self._transport.handle_async_request(request)
        except TRANSPORT_ERRORS as error:
            if isinstance(error.__cause__, NEVER_CONNECTED):
                raise PeerUnreachableError(f"router cannot be reached: {error!r}") from error
            raise PeerUnavailableError(f"router broke off: {error!r}") from error

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.aclose()
