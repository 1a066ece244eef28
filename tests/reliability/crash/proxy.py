"""A TCP proxy between a process and its peer that knows the protocol well enough to stop a chosen message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol, Self

from tests.reliability.crash.gates import Direction, Gate, Message

READ_BYTES = 256 * 1024


class Conversation(Protocol):
    """One connection's state: cuts the bytes of both directions into messages, and may rewrite them."""

    def up(self, data: bytes) -> Iterable[Message]:
        """The messages that the process has sent whole."""

    def down(self, data: bytes) -> Iterable[Message]:
        """The messages that its peer has sent whole."""


class SeveredError(Exception):
    """A held message is lost, and its connection with it."""


class Proxy:
    """Listens on `port`, connects to the target, passes messages on unless a gate holds them."""

    def __init__(self, host: str, port: int, converse: Callable[[int], Conversation]) -> None:
        self._target = (host, port)
        self._converse = converse
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._gates: list[Gate] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def gate(self, direction: Direction, matches: Callable[[Message], bool], *, once: bool = False) -> Gate:
        """From now on hold what matches. A gate must be opened or severed in the end."""
        made = Gate(direction, matches, once=once)
        self._gates.append(made)
        return made

    def sever_all(self) -> None:
        """Lose what any gate still holds, and hold nothing any more."""
        for gate in self._gates:
            gate.sever()
        self._gates.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            peer_reader, peer_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        conversation = self._converse(self.port)
        up = asyncio.create_task(self._pump("up", conversation, reader, peer_writer))
        down = asyncio.create_task(self._pump("down", conversation, peer_reader, writer))
        # The server's own task must end without an error: a cancellation is the end of the test, and nothing else.
        with suppress(SeveredError, asyncio.CancelledError):
            await asyncio.gather(up, down)
        for pump in (up, down):
            pump.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(up, down, return_exceptions=True)
        for each in (writer, peer_writer):
            each.close()

    async def _pump(
        self, direction: Direction, conversation: Conversation, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass one direction on until its sender is gone; then its receiver is told."""
        cut = conversation.up if direction == "up" else conversation.down
        with suppress(ConnectionError):
            while data := await reader.read(READ_BYTES):
                for message in cut(data):
                    for gate in [gate for gate in self._gates if gate.wants(message, conversation)]:
                        if not await gate.hold(message, conversation):
                            raise SeveredError
                    if writer.is_closing():
                        return
                    writer.write(message.data)
                await writer.drain()
        writer.close()
