"""Where no message is sent to, whatever a name resolves to. Pure.

Receivers are named by operators and often live in their own network, so private addresses are allowed. What nobody keeps a
receiver at is refused: link-local addresses, where clouds hand out credentials, and what is no host's.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_NEVER = [
    ip_network(each)
    for each in (
        *("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/128", "fe80::/10", "fec0::/10", "ff00::/8"),
        # Where clouds hand out credentials: Alibaba, Oracle, Azure's host, AWS and Google over IPv6.
        *("100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32", "fd00:ec2::/32", "fd20:ce::254/128"),
    )
]


def is_refused(text: str) -> bool:
    """Whether nothing may be sent to the address; an IPv4 address inside an IPv6 one counts for what it is."""
    try:
        address: IPv4Address | IPv6Address = ip_address(text.split("%", maxsplit=1)[0])
    except ValueError:
        return True
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None and is_refused(str(inner)):
            return True
    return any(address in network for network in _NEVER)
