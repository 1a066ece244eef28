"""The HTTP connections to router and settlement: kept alive, bounded, never through a proxy or a redirect."""

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

# Shorter than any server of ours keeps an idle connection, so that a request is not sent into one that is being closed.
KEEPALIVE_S = 4.0
CONNECT_TIMEOUT_S = 2.0


def transport(max_connections: int) -> AiohttpTransport:
    """A transport over aiohttp that adds no header of its own and decodes nothing. Needs a running loop."""

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=max_connections, keepalive_timeout=KEEPALIVE_S, use_dns_cache=True)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers={"Accept", "Accept-Encoding", "User-Agent", "Content-Type"},
            auto_decompress=False,
            trust_env=False,
        )

    return AiohttpTransport(client=session, trust_env=False, verify=True)


def client(base_url: str, token: str, *, timeout_s: float, max_connections: int = 64) -> httpx.AsyncClient:
    """A client for calls that are not on the hot path, presenting edge's token."""
    return httpx.AsyncClient(
        base_url=base_url,
        headers={"authorization": f"Bearer {token}"},
        timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
        transport=transport(max_connections),
        follow_redirects=False,
        trust_env=False,
    )
