"""The outgoing HTTP of this process: httpx's transport seam over aiohttp, without proxies, redirects, or cookies.

Requests go straight to the transport: httpx's client adds cookies, redirects and authentication flows, none of which are
wanted here, at more than the price of the call itself.
"""

from __future__ import annotations

from typing import NamedTuple

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from httpx_aiohttp import AiohttpTransport

from services.router.destinations import CheckingResolver, Destinations

KEEPALIVE_S = 30.0
"""Shorter than what providers keep an idle connection: a request on one that is just being closed would fail for nothing."""


class BodyTooLongError(Exception):
    """The peer sent more than the bound: treat its answer as malformed."""


class PoolLimits(NamedTuple):
    """Connections of one pool: so many in all and per host (0: no bound); `wait_s` bounds the wait for one with connecting."""

    connections: int
    per_host: int
    connect_s: float
    wait_s: float


def build_transport(
    limits: PoolLimits, destinations: Destinations | None = None, resolver: AbstractResolver | None = None
) -> AiohttpTransport:
    """A transport with a connection pool of its own. Must be built inside the running loop.

    With `destinations` it connects only where those allow; without, anywhere: to Tollbook's own services.
    """

    def session() -> aiohttp.ClientSession:
        names = resolver or aiohttp.ThreadedResolver()
        connector = aiohttp.TCPConnector(
            limit=limits.connections,
            limit_per_host=limits.per_host,
            keepalive_timeout=KEEPALIVE_S,
            ttl_dns_cache=30,
            resolver=names if destinations is None else CheckingResolver(names, destinations),
            socket_factory=None if destinations is None else destinations.open_socket,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
        )

    return AiohttpTransport(client=session, trust_env=False)


def timeouts(limits: PoolLimits, read_s: float | None) -> dict[str, dict[str, float | None]]:
    """The request extension that carries the timeouts, in seconds."""
    return {"timeout": {"connect": limits.connect_s, "read": read_s, "write": None, "pool": limits.wait_s}}


async def read_bounded(response: httpx.Response, limit: int) -> bytes:
    """The whole body. Raises :class:`BodyTooLongError` beyond `limit` bytes; the response is closed either way."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    parts: list[bytes] = []
    size = 0
    try:
        async for part in response.stream:
            parts.append(part)
            size += len(part)
            if size > limit:
                raise BodyTooLongError(f"a body of more than {limit} bytes")
    finally:
        await response.stream.aclose()
    return parts[0] if len(parts) == 1 else b"".join(parts)
