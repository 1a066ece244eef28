"""Loopback ports: the preferred one where it is free, another where it is taken."""

import socket

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def choose(preferred: int, taken: set[int]) -> int:
    """Return `preferred` if it is free and nobody of ours took it, else some free port."""
    if preferred not in taken and is_free(preferred):
        return preferred
    while (port := free_port()) in taken:
        continue
    return port
