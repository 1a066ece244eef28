"""Where a client really is: the socket's address, or what proxies of ours say of it, and nobody else.

Each proxy appends the address that it was called from to the one header that the setting names. From the right, every
address of a trusted proxy is one more step back; the first that is none is the client. What stands left of it, the client may
have written itself. Pure.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
RawHeaders = Iterable[tuple[bytes, bytes]]

X_FORWARDED_FOR = "x-forwarded-for"
FORWARDED = "forwarded"
MAX_HOPS = 32
_FORWARDED_FOR = re.compile(r'for\s*=\s*(?:"([^"]*)"|([^;,"\s]*))', re.IGNORECASE)
_WITH_PORT = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::\d{1,5})?", re.ASCII)


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks of addresses and CIDRs. Raises ValueError with what is wrong."""
    return tuple(_network(text.strip()) for text in texts)


def within(address: Address | None, networks: Iterable[Network]) -> bool:
    """Whether the address lies in one of the networks; one that is not known lies in none."""
    return address is not None and any(address in network for network in networks)


class ClientAddresses:
    """Finds the client's address behind the proxies that are listed."""

    def __init__(self, proxies: Sequence[Network] = (), header: str = X_FORWARDED_FOR) -> None:
        self._proxies = tuple(proxies)
        self._name = header.encode()
        self._read = _forwarded if header == FORWARDED else _listed

    def find(self, peer: str | None, headers: RawHeaders) -> Address | None:
        """The address of the client whose call came from `peer`; None where the proxies name none that can be read."""
        address = _address(peer or "")
        if not self._proxies or not within(address, self._proxies):
            return address
        # Several headers of one name are one list, in their order.
        said = ",".join(value.decode("latin-1") for name, value in headers if name == self._name)
        for hop in reversed(self._read(said)[-MAX_HOPS:]):
            address = _address(hop)
            if not within(address, self._proxies):
                return address
        return address


def _listed(said: str) -> list[str]:
    """The elements of `X-Forwarded-For`."""
    return [element.strip() for element in said.split(",")] if said else []


def _forwarded(said: str) -> list[str]:
    """What each element of RFC 7239's `Forwarded` gives as `for`; one that gives none is an unknown place."""
    elements = said.split(",") if said else []
    found = [_FORWARDED_FOR.search(element) for element in elements]
    return ["" if match is None else match[1] or match[2] or "" for match in found]


def _address(text: str) -> Address | None:
    """The address of a text such as `192.0.2.7`, `192.0.2.7:443`, `2001:db8::1` or `[2001:db8::1]:443`."""
    try:
        return _plain(ip_address(text))
    except ValueError:
        pass
    parts = _WITH_PORT.fullmatch(text)
    try:
        return None if parts is None else _plain(ip_address(parts[1] or parts[2]))
    except ValueError:
        return None


def _plain(address: Address) -> Address:
    """An IPv4 address that is written as IPv6 is the IPv4 address, and a zone says nothing about where it is."""
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))
    return address


def _network(text: str) -> Network:
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError(_wrong(text)) from None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise ValueError(f"{text} is IPv4 written as IPv6: write it as IPv4")
    if isinstance(network, IPv6Network) and "%" in text:
        raise ValueError(f"{text} names a zone: leave it out")
    return network


def _wrong(text: str) -> str:
    try:
        return f"{text} has bits beyond its prefix: write {ip_network(text, strict=False)}"
    except ValueError:
        return f"{text[:64]!r} is neither an address nor a network such as 192.0.2.0/24 or 2001:db8::/32"
