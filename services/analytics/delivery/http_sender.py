"""Sends messages over HTTP: one POST each, bounded in time, no redirect followed, no proxy, no cookie."""

import errno
import os
import socket
import ssl
from collections.abc import Callable
from datetime import datetime
from typing import Any

import aiohttp

from services.analytics.delivery.destinations import is_refused
from services.analytics.delivery.outcome import GivenUp, Later, Outcome, of_reply
from services.analytics.delivery.outgoing import HttpMessage

REPLY_BYTES = 2_048
USER_AGENT = "Tollbook"


class HttpSender:
    """A pool of connections for all receivers over HTTP; `limit_per_host` keeps one of them from taking it all."""

    def __init__(self, *, timeout_s: float, clock: Callable[[], datetime], tls: ssl.SSLContext | None = None) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, message: HttpMessage) -> Outcome:
        """Post it; what became of it. Reasons never hold the address."""
        try:
            return await self._post(message)
        except TimeoutError:
            return Later(f"no reply within {self._timeout_s:g} s")
        except aiohttp.ClientConnectorCertificateError as error:
            return Later(f"its certificate is not trusted: {_plain(error.certificate_error)}")
        except aiohttp.ClientConnectorError as error:
            refused = error.os_error.errno == errno.EACCES
            reason = f"no connection: {_plain(error.os_error)}"
            return GivenUp("it lives at an address that nothing is sent to") if refused else Later(reason)
        except aiohttp.InvalidURL:
            return GivenUp("its address is none")
        except (aiohttp.ClientError, OSError) as error:
            return Later(f"the connection broke: {type(error).__name__}")

    async def _post(self, message: HttpMessage) -> Outcome:
        headers = {"user-agent": USER_AGENT, **message.headers}
        async with self._pool().post(message.url, data=message.body, headers=headers, allow_redirects=False) as reply:
            body = await reply.content.read(REPLY_BYTES)
            return of_reply(reply.status, reply.headers, body.decode("utf-8", "replace"), self._clock())

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=64, limit_per_host=4, ttl_dns_cache=30, keepalive_timeout=15,
                socket_factory=_open_socket, ssl=self._tls or True,
            )  # fmt: skip
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=self._timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session


def _open_socket(info: tuple[Any, ...]) -> socket.socket:
    """A socket for the address that a name resolved to, after the last look at it."""
    family, kind, protocol, _, address = info
    if is_refused(str(address[0])):
        raise OSError(errno.EACCES, "an address that nothing is sent to")
    return socket.socket(family, kind, protocol)


def _plain(error: BaseException) -> str:
    """What went wrong, without the peer's address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return type(error).__name__
