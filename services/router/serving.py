"""The HTTP server. It can leave a shared listening socket to its successor without dropping a connection.

SIGUSR1 retires it: it takes no new connection, finishes what is under way, ends each further reply with `connection: close`,
and closes what nobody has used for a while. No connection is closed in the moment in which its client may be sending.
"""

import asyncio
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import uvicorn

IDLE_S = 5.0
"""Longer than clients of ours and most others keep a connection that they do not use."""
LOOK_S = 0.1
READY_AT_LAST_S = 15.0
CLOSE = (b"connection", b"close")


class Server(uvicorn.Server):
    """A server that can retire."""

    _retiring: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and hear the signal."""
        await super().startup(sockets)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self.retire)

    def retire(self) -> None:
        """Serve only who is connected, each for one more request at most."""
        if self._retiring is not None:
            return
        for server in self.servers:
            server.close()
        self.config.encoded_headers.append(CLOSE)
        self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]
        for connection in self.server_state.connections:
            cycle: Any = getattr(connection, "cycle", None)
            if _is_busy(cycle) and not cycle.response_started:
                cycle.keep_alive = False
        self._retiring = asyncio.create_task(self._close_unused())

    async def _close_unused(self) -> None:
        unused_since: dict[Any, float] = {}
        while self.server_state.connections:
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                if _is_busy(getattr(connection, "cycle", None)):
                    unused_since.pop(connection, None)
                elif now - unused_since.setdefault(connection, now) >= IDLE_S:
                    connection.shutdown()
            await asyncio.sleep(LOOK_S)


def inherited(listen_fd: int | None) -> list[socket.socket] | None:
    """The listening socket that the supervisor opened, or None for a host and a port of our own."""
    return None if listen_fd is None else [socket.socket(fileno=listen_fd)]


async def until_ready(reason: Callable[[], str | None]) -> None:
    """Wait until there is no reason any more why nothing could be served, but not for ever: /readyz has to tell it."""
    deadline = time.monotonic() + READY_AT_LAST_S
    while time.monotonic() < deadline and reason() is not None:  # noqa: ASYNC110 - what it asks sets no event
        await asyncio.sleep(LOOK_S)


def _is_busy(cycle: Any) -> bool:
    return cycle is not None and not cycle.response_complete
