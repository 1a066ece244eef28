"""An upstream of the test's own process that answers each call with the next bent reply of its dialect."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random
from typing import Any, Self

import httpx
import orjson

from tests.reliability.faults.replies import reply

PARTS = (1, 1, 1, 3, 8)
PAUSE_S = 0.002
PATHS = {
    "openai": ("v1", "v1/chat/completions", "v1/chat/completions"),
    "anthropic": ("v1", "v1/messages", "v1/messages"),
    "gemini": ("v1beta", "v1beta/models/gpt-4o:generateContent", "v1beta/models/gpt-4o:streamGenerateContent?alt=sse"),
}
"""Of each dialect: what follows the channel in its base URL, and where it answers plainly and as a stream."""
TEXT = "hello [sim input_tokens=90 output_tokens=12]"


class Bent:
    """The server. `answered` counts its replies."""

    def __init__(self, sound: dict[tuple[str, bool], bytes], seed: int) -> None:
        self._sound = sound
        self._draw = Random(seed)
        self.answered = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            dialect, stream = await _asked(reader)
            answer = reply(self._draw, self._sound[dialect, stream], stream=stream)
            self.answered += 1
            size = len(answer) // self._draw.choice(PARTS) + 1
            for start in range(0, len(answer), size):
                writer.write(answer[start : start + size])
                await writer.drain()
                if size < len(answer):
                    await asyncio.sleep(PAUSE_S)
        writer.close()


async def _asked(reader: asyncio.StreamReader) -> tuple[str, bool]:
    """The dialect that the path names, and whether a stream is wanted."""
    head = await reader.readuntil(b"\r\n\r\n")
    target = head.split(b" ", 2)[1]
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    body = await reader.readexactly(length)
    return target.split(b"/")[1].decode(), b"streamGenerateContent" in target or b'"stream":true' in body


async def sound_replies(http: httpx.AsyncClient, provider_url: str) -> dict[tuple[str, bool], bytes]:
    """What the simulator says in each dialect, plainly and as a stream."""
    found = {}
    for dialect, (_, plain, streamed) in PATHS.items():
        for stream, path in ((False, plain), (True, streamed)):
            body, headers = _request(dialect, stream=stream)
            answer = await http.post(f"{provider_url}/sound/{path}", content=orjson.dumps(body), headers=headers)
            assert answer.status_code == 200, answer.text
            found[dialect, stream] = answer.content
    return found


def _request(dialect: str, *, stream: bool) -> tuple[dict[str, Any], dict[str, str]]:
    if dialect == "gemini":
        return {"contents": [{"role": "user", "parts": [{"text": TEXT}]}]}, {"x-goog-api-key": "sim"}
    body: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": TEXT}], "stream": stream}
    if dialect == "anthropic":
        return {**body, "max_tokens": 64}, {"x-api-key": "sim", "anthropic-version": "2023-06-01"}
    return {**body, **({"stream_options": {"include_usage": True}} if stream else {})}, {"authorization": "Bearer sim"}
