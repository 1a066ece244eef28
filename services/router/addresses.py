"""Which addresses a channel's key may be sent to. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

Reach = Literal["public", "private", "never"]
"""public: on the internet. private: only where settings allow it. never: nothing that serves a model lives there."""

_NEVER = [
    ip_network(each)
    for each in (
        *("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/128", "fe80::/10", "fec0::/10", "ff00::/8"),
        # Where clouds hand out credentials: Alibaba, Oracle, Azure's host, Tencent, AWS and Google over IPv6.
        *("100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32", "100.88.222.5/32"),
        *("fd00:ec2::/32", "fd20:ce::254/128"),
    )
]
_PRIVATE = [
    ip_network(each)
    for each in (
        *("100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24"),
        *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("::/8", "64:ff9b:1::/48", "100::/8", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fc00::/7"),
    )
]
_GATEWAYS = [IPv6Network(each) for each in ("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")]
_GLOBAL_V6 = IPv6Network("2000::/3")
"""All that has been given out of IPv6 for the internet."""


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address in its plain spelling (no zone, no octal, hexadecimal or short form), None for anything else."""
    if "%" in text:
        return None
    try:
        return ip_address(text)
    except ValueError:
        return None


def reach_of(address: IPv4Address | IPv6Address) -> Reach:
    """Where an address leads. An IPv4 address inside an IPv6 one counts for what it is, and as private at best."""
    if any(address in network for network in _NEVER):
        return "never"
    if isinstance(address, IPv6Address):
        inner = _embedded(address)
        if inner:
            return "never" if any(reach_of(each) == "never" for each in inner) else "private"
        if address not in _GLOBAL_V6:
            return "private"
    if not address.is_global or any(address in network for network in _PRIVATE):
        return "private"
    return "public"


def _embedded(address: IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that a gateway may unpack: mapped, compatible, NAT64, 6to4, Teredo, ISATAP."""
    low = IPv4Address(int(address) & 0xFFFF_FFFF)
    unpacked = any(address in network for network in _GATEWAYS) and int(address) > 1
    found = [low] if unpacked else []
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found += address.teredo
    if int(address) >> 32 & 0xFFFF_FFFF in (0x0000_5EFE, 0x0200_5EFE):
        found.append(low)
    return found
