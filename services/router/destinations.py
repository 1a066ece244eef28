"""The last word on where a connection goes: every address of a name's answer is checked, and the socket's once more.

A name is resolved once for a connection, which then goes to an address of that very answer, so that a name that answers
differently a moment later gains nothing. TLS still asks for the certificate of the name.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

import structlog
from aiohttp.abc import AbstractResolver, ResolveResult

from services.router import metrics
from services.router.addresses import parse_address, reach_of
from services.router.origin import METADATA_NAMES, is_local_name

log = structlog.get_logger(__name__)


class DestinationRefusedError(OSError):
    """The address is one that no key is sent to: the attempt ends as a failed connection; the log names host and address."""

    def __init__(self, host: str, address: str) -> None:
        super().__init__(errno.EACCES, f"{host} leads to {address}, where no key may be sent")
        metrics.DESTINATIONS_REFUSED.inc()
        log.warning("destination_refused", host=host, address=address)


class Destinations:
    """Which addresses may be connected to. `allow_private` as in :class:`services.router.origin.OriginRules`."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private

    def check(self, host: str, address: str) -> None:
        """Raises :class:`DestinationRefusedError`.

        A name that only the operator's network knows must not lead out of it: it may be asked in plain http.
        """
        parsed = parse_address(address)
        reach = "never" if parsed is None or host.rstrip(".") in METADATA_NAMES else reach_of(parsed)
        wanted = {"private"} if parse_address(host) is None and is_local_name(host) else {"public", "private"}
        if reach not in (wanted if self._allow_private else {"public"}):
            raise DestinationRefusedError(host, address)

    def open_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for the address, after a last check of it."""
        family, kind, protocol, _, address = info
        parsed = parse_address(str(address[0]))
        reach = "never" if parsed is None else reach_of(parsed)
        if reach == "never" or (reach == "private" and not self._allow_private):
            raise DestinationRefusedError(str(address[0]), str(address[0]))
        return socket.socket(family, kind, protocol)


class CheckingResolver(AbstractResolver):
    """Resolves by another resolver, and refuses the whole answer where one of its addresses may not be connected to."""

    def __init__(self, resolver: AbstractResolver, destinations: Destinations) -> None:
        self._resolver = resolver
        self._destinations = destinations

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """The addresses. Raises :class:`DestinationRefusedError`, or OSError where there are none."""
        found = await self._resolver.resolve(host, port, family)
        for each in found:
            self._destinations.check(host, each["host"])
        return found

    async def close(self) -> None:
        """Let go of the other resolver."""
        await self._resolver.close()
