"""Loopback ports: the preferred one where it is free, another where it is taken."""

import random
import socket
from collections.abc import Mapping

HOST = "127.0.0.1"
# Below the range from which systems take the ports of outgoing connections, which could otherwise grab a chosen one.
OTHERS = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def listens(port: int) -> bool:
    """Tell whether somebody accepts connections on the port now."""
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex((HOST, port)) == 0


def free_port() -> int:
    """Return a port that nobody listens on."""
    while not is_free(port := random.choice(OTHERS)):  # noqa: S311 - a port, not a secret
        continue
    return port


def assign(preferred: Mapping[str, int], earlier: Mapping[str, int], *, fixed: bool) -> dict[str, int]:
    """Return a free port for each name: the earlier one, else (when `fixed`) the preferred one, else any."""
    chosen: dict[str, int] = {}
    for name, favourite in preferred.items():
        candidates = [earlier[name]] if name in earlier else []
        candidates += [favourite] if fixed else []
        taken = set(chosen.values())
        fitting = (port for port in candidates if port not in taken and is_free(port))
        chosen[name] = next(fitting, None) or _other(taken)
    return chosen


def _other(taken: set[int]) -> int:
    while (port := free_port()) in taken:
        continue
    return port
