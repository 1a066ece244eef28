"""Where a channel may send its key: the rule for base URLs. Pure.

The grammar is narrower than any URL parser's, so that no two parsers can read an accepted URL differently. What a name resolves
to is checked when a connection is made (`destinations`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from services.router.addresses import Reach, parse_address, reach_of

DEFAULT_PORTS = {"https": 443, "http": 80}
PUBLIC_PORTS = frozenset({443, 8443})
LOCAL_ENDINGS = frozenset(
    {"localhost", "local", "internal", "lan", "home", "corp", "intranet", "private", "localdomain", "svc", "default", "arpa"}
    | {"test", "invalid", "example", "onion", "alt"}
)
"""Last labels that no public name has."""
METADATA_NAMES = frozenset(
    {"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"}
    | {"metadata.azure.internal", "metadata.tencentyun.com", "metadata.platformequinix.com", "rancher-metadata"}
)
PERMIT = "(TOLLBOOK_ALLOW_PRIVATE_UPSTREAMS permits {})"
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>[1-9][0-9]{0,4}))?(?P<path>(?:/[A-Za-z0-9._~:+-]+)*/?)"
)
_SCHEME_AND_HOST = re.compile(r"[^:/?#]*://[^/?#]*")
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")


class OriginRules(NamedTuple):
    """What settings allow. `hosts` lists the only hosts that may be named (`host`, `host:port`, `*.domain`); empty: any."""

    allow_private: bool
    hosts: tuple[str, ...] = ()


class BaseUrl(NamedTuple):
    """A checked base URL in its parts; `host` in lower case, an IPv6 address without its brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        """`scheme://host:port`."""
        return f"{self.scheme}://{self.host}:{self.port}"


def check_base_url(url: str, rules: OriginRules) -> str:
    """The base URL without a trailing slash. Raises ValueError with the reason where a key must not be sent there.

    Only https to a public host is allowed. With `allow_private` (local simulators, models inside the operator's network)
    private hosts too, by http as well; never a cloud's metadata service or a link-local address.
    """
    parts = _parse(url)
    reach = _reach(parts.host)
    if reach == "never":
        raise ValueError("base_url names a link-local address, a metadata service, or an address that is no host's")
    if rules.hosts and not listed(parts.host, parts.port, rules.hosts):
        raise ValueError(f"base_url names {parts.host}:{parts.port}, which TOLLBOOK_UPSTREAM_HOSTS does not list")
    if reach == "private":
        if not rules.allow_private:
            raise ValueError("base_url names a local host or a private address " + PERMIT.format("it"))
        return url.rstrip("/")
    if parts.scheme != "https":
        raise ValueError("base_url must begin with https:// " + PERMIT.format("http to private hosts"))
    if parts.port not in PUBLIC_PORTS and f"{parts.host}:{parts.port}" not in rules.hosts:
        raise ValueError(f"base_url names the port {parts.port}; list {parts.host}:{parts.port} in TOLLBOOK_UPSTREAM_HOSTS")
    if "xn--" in parts.host and not _named(parts.host, parts.port, rules.hosts):
        raise ValueError(f"base_url has a name that shows other letters; list {parts.host} in TOLLBOOK_UPSTREAM_HOSTS")
    return url.rstrip("/")


def origin_of(base_url: str) -> str:
    """`scheme://host:port` of a checked base URL: what a channel's secret is bound to."""
    return _parse(base_url).origin


def is_local_name(host: str) -> bool:
    """Whether a name means something inside the operator's network alone."""
    return "." not in host or host.rsplit(".", 1)[1] in LOCAL_ENDINGS


def listed(host: str, port: int, hosts: Sequence[str]) -> bool:
    """Whether a host is on the list, by its name or under a domain."""
    under = any(each.startswith("*.") and host.endswith(each[1:]) and len(host) >= len(each) for each in hosts)
    return _named(host, port, hosts) or under


def _named(host: str, port: int, hosts: Sequence[str]) -> bool:
    return host in hosts or f"{host}:{port}" in hosts


def _parse(url: str) -> BaseUrl:
    if not url.isascii() or any(c.isspace() or not 33 <= ord(c) < 127 or c in "\\${}<>\"'`^|" for c in url):
        raise ValueError("base_url has characters that no URL has (is a ${PLACEHOLDER} left unfilled?)")
    head = _SCHEME_AND_HOST.match(url)
    if "@" in url or "?" in url or "#" in url:
        raise ValueError("base_url must carry no user, query or fragment")
    match = _URL.fullmatch(url if head is None else head[0].lower() + url[head.end() :])
    if match is None or any(part in (".", "..") for part in match["path"].split("/")):
        raise ValueError("base_url is not of the form https://host[:port]/path, in plain letters, without % and empty segments")
    port = int(match["port"]) if match["port"] else DEFAULT_PORTS[match["scheme"]]
    if port > 65535:
        raise ValueError("base_url has a port beyond 65535")
    return BaseUrl(match["scheme"], _checked_host(match["host"]), port, match["path"].rstrip("/"))


def _checked_host(host: str) -> str:
    if host.startswith("["):
        if parse_address(host[1:-1]) is None:
            raise ValueError("base_url names no IPv6 address")
        return host[1:-1]
    if parse_address(host) is not None:
        return host
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("base_url names no host (labels of letters, digits and hyphens, no dot at the end)")
    if not labels[-1][0].isalpha():
        raise ValueError("base_url spells an address in an unusual form")
    return host


def _reach(host: str) -> Reach:
    if host in METADATA_NAMES:
        return "never"
    address = parse_address(host)
    if address is not None:
        return reach_of(address)
    return "private" if is_local_name(host) else "public"
