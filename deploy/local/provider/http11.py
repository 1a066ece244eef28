"""HTTP/1.1 on an asyncio transport: parses requests, keeps pipelined ones in order, sends replies."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import Any

import httptools

from deploy.local.provider import framing
from deploy.local.provider.app import Simulator
from deploy.local.provider.delivery import Delivery, Ending, play
from deploy.local.provider.request import Request

BODY_BYTES_MAX = 16 * 1024 * 1024
PIPELINED_MAX = 32
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Connection(asyncio.Protocol):
    """One client's connection. Also the `Wire` that a delivery is played on."""

    def __init__(self, simulator: Simulator, open_connections: set[Connection]) -> None:
        self._simulator = simulator
        self._open = open_connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._waiting: deque[Request] = deque()
        self._playing: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        self._waiting.clear()
        if self._playing is not None:
            self._playing.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # ours to mend, not the client's: asyncio logs it and closes the connection
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._give_up(400, "This is not HTTP/1.1.")

    def pause_writing(self) -> None:
        self._writable.clear()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._writable.set()
        self._read_on()

    # httptools

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))
        if len(name) == 6 and name.lower() == b"expect" and self._playing is None:
            self.send(framing.CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > BODY_BYTES_MAX:
            self._parts.clear()
            self._give_up(413, f"The body is larger than {BODY_BYTES_MAX} bytes.")
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        parts, parser = self._parts, self._parser
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        request = Request(parser.get_method(), self._target, self._headers, body, parser.should_keep_alive())
        if self._playing is None:
            self._answer(request)
        else:
            self._waiting.append(request)
            if len(self._waiting) >= PIPELINED_MAX:
                self._transport.pause_reading()

    # Wire

    def send(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    async def writable(self) -> None:
        if not self._writable.is_set():
            await self._writable.wait()

    # Replies

    def _answer(self, request: Request) -> None:
        if self._transport.is_closing():
            return
        reply = self._simulator.answer(request)
        if type(reply) is bytes:
            if request.keep_alive:
                self._transport.write(reply)
            else:
                self._transport.write(framing.closing(reply))
                self._transport.close()
        elif isinstance(reply, Delivery):
            self._playing = asyncio.get_running_loop().create_task(self._play(reply, request.keep_alive))

    async def _play(self, delivery: Delivery, keep_alive: bool) -> None:
        await play(delivery, self)
        self._playing = None
        if delivery.ending is Ending.RESET:
            self._reset()
        elif delivery.ending is not Ending.KEEP or not keep_alive:
            self._transport.close()
        while self._waiting and self._playing is None:
            self._answer(self._waiting.popleft())
        self._read_on()

    def _reset(self) -> None:
        """Close so that the client sees a reset and not an orderly end."""
        connected = self._transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    def _read_on(self) -> None:
        if len(self._waiting) < PIPELINED_MAX and not self._transport.is_closing():
            self._transport.resume_reading()

    def _give_up(self, status: int, message: str) -> None:
        if not self._transport.is_closing():
            body = {"error": {"message": message, "type": "invalid_request_error"}}
            self._transport.write(framing.closing(framing.json_reply(status, body)))
            self._transport.close()

    def close(self) -> None:
        """End the connection: the simulator stops."""
        self._transport.abort()
