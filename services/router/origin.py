"""Where a channel may send its key: the rule for base URLs. Pure."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

LOCAL_NAMES = ("localhost", ".localhost", ".local", ".internal")
DEFAULT_PORTS = {"https": 443, "http": 80}


def check_base_url(url: str, *, allow_private: bool) -> str:
    """The base URL without a trailing slash. Raises ValueError with the reason where a key must not be sent there.

    Only https to a public host is allowed, unless `allow_private` (local simulators, models inside the operator's network).
    """
    if not url.isascii() or any(c.isspace() or ord(c) < 33 or c in "\\${}<>\"'`" for c in url):
        raise ValueError("base_url has characters that no URL has (is a ${PLACEHOLDER} left unfilled?)")
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError("base_url must begin with https://")
    if not parts.hostname:
        raise ValueError("base_url names no host")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("base_url must carry no user, query or fragment")
    _ = parts.port  # raises ValueError for a port that is none
    if not allow_private:
        _check_public(parts.scheme, parts.hostname)
    return url.rstrip("/")


def origin_of(base_url: str) -> str:
    """`scheme://host:port` of a checked base URL: what a channel's secret is bound to."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or DEFAULT_PORTS[parts.scheme]}"


def _check_public(scheme: str, host: str) -> None:
    if scheme != "https":
        raise ValueError("base_url must begin with https:// (TOLLBOOK_ALLOW_PRIVATE_UPSTREAMS permits http)")
    name = host.rstrip(".")
    if name == "localhost" or name.endswith(LOCAL_NAMES) or ("." not in name and ":" not in name):
        raise ValueError("base_url names a local host (TOLLBOOK_ALLOW_PRIVATE_UPSTREAMS permits it)")
    try:
        address = ip_address(name)
    except ValueError:
        if name.rsplit(".", 1)[-1].isdigit() or name.rsplit(".", 1)[-1].startswith("0x"):
            raise ValueError("base_url spells an address in an unusual form") from None
        return
    if not address.is_global:
        raise ValueError("base_url names a private address (TOLLBOOK_ALLOW_PRIVATE_UPSTREAMS permits it)")
