"""A server that retires: nobody who is connected, or just about to be, is turned away."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from services.edge import serving as edge_serving
from services.router import serving as router_serving
from services.settlement import serving as settlement_serving

SERVERS = {"edge": edge_serving, "router": router_serving, "settlement": settlement_serving}
HURRY_S = 0.4
Send = Callable[[dict[str, Any]], Awaitable[None]]


class App:
    """Answers at once, or when it is told to; in two parts where the path says `stream`."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.go = asyncio.Event()
        self.asked = asyncio.Event()

    async def __call__(self, scope: dict[str, Any], receive: object, send: Send) -> None:
        length = [(b"content-length", str(2 * len(self.name)).encode())]
        if scope["path"] == "/stream":
            await send({"type": "http.response.start", "status": 200, "headers": length})
            await send({"type": "http.response.body", "body": self.name, "more_body": True})
        self.asked.set()
        if scope["path"] != "/":
            await self.go.wait()
        if scope["path"] == "/stream":
            await send({"type": "http.response.body", "body": self.name})
            return
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": 2 * self.name})


@asynccontextmanager
async def served(module: Any, shared: socket.socket, name: bytes) -> AsyncIterator[tuple[Any, App]]:
    """A server on its own copy of the shared socket, as a process has one."""
    app = App(name)
    server = module.Server(uvicorn.Config(app, http="httptools", lifespan="off", log_config=None, access_log=False))
    task = asyncio.create_task(server._serve(module.inherited(socket.dup(shared.fileno()))))
    async with asyncio.timeout(20):
        while not server.started:  # noqa: ASYNC110 - the server sets no event
            await asyncio.sleep(0.01)
    try:
        yield server, app
    finally:
        server.should_exit = True
        await task


@pytest.fixture
def shared() -> Any:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield listening


@pytest.fixture(params=sorted(SERVERS))
def module(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(SERVERS[request.param], "IDLE_S", HURRY_S)
    return SERVERS[request.param]


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self._writer = reader, writer

    @classmethod
    async def connected(cls, shared: socket.socket) -> "Client":
        return cls(*await asyncio.open_connection(*shared.getsockname()))

    def ask(self, path: str = "/") -> None:
        self._writer.write(f"GET {path} HTTP/1.1\r\nhost: here\r\n\r\n".encode())

    async def answer(self) -> tuple[bool, bytes]:
        """Whether the connection is to be closed, and the body."""
        async with asyncio.timeout(20):
            head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            return b"connection: close" in head, await self.reader.readexactly(length)

    async def closed(self) -> None:
        async with asyncio.timeout(20):
            assert await self.reader.read() == b""
        await self.leave()

    async def leave(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def test_who_is_connected_is_answered_and_told_to_come_anew(module: Any, shared: socket.socket) -> None:
    async with served(module, shared, b"old") as (server, _):
        idle = await Client.connected(shared)
        idle.ask()
        assert await idle.answer() == (False, b"oldold")
        server.retire()
        idle.ask()
        assert await idle.answer() == (True, b"oldold")
        await idle.closed()


async def test_what_is_under_way_is_finished_however_long_it_takes(module: Any, shared: socket.socket) -> None:
    async with served(module, shared, b"old") as (server, app):
        waiting, streaming = await Client.connected(shared), await Client.connected(shared)
        waiting.ask("/wait")
        streaming.ask("/stream")
        await app.asked.wait()
        server.retire()
        await asyncio.sleep(3 * HURRY_S)
        app.go.set()
        assert await waiting.answer() == (True, b"oldold")
        assert (await streaming.answer())[1] == b"oldold"
        await waiting.closed()
        await streaming.closed()


async def test_an_unused_connection_is_closed_after_a_while(module: Any, shared: socket.socket) -> None:
    async with served(module, shared, b"old") as (server, _):
        unused = await Client.connected(shared)
        unused.ask()
        await unused.answer()
        server.retire()
        await unused.closed()


async def test_whoever_comes_meanwhile_is_the_successors(module: Any, shared: socket.socket) -> None:
    async with served(module, shared, b"old") as (server, _):
        server.retire()
        early = await Client.connected(shared)
        early.ask()
        async with served(module, shared, b"new"):
            assert await early.answer() == (False, b"newnew")
            await early.leave()
