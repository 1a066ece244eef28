"""Secrets that can be recognised wherever they turn up, and a provider that repeats them in every way it can."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg
from aiokafka import AIOKafkaConsumer
from psycopg import sql

ENDED_TIMEOUT_S = 120
MARKER = f"CaNaRy{uuid4().hex}"
"""In every secret of a run. Letters and digits only, so that no encoding for URLs or JSON changes it."""


def secret_for(name: str) -> str:
    """A secret with the marker in its middle, and characters that encodings change."""
    return f"sk-{name}/{MARKER}+{name}="


def forms() -> list[bytes]:
    """The marker as programs write it: as it is, in any case, reversed, in hexadecimal, in base64 at each of three places."""
    plain = MARKER.encode()
    found = [plain, plain.lower(), plain.upper(), plain[::-1], plain.hex().encode(), plain.hex().upper().encode()]
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + plain + b"xyz")
        found.append(encoded[4 if before else 0 : (before + len(plain)) // 3 * 4])
    return found


def found_in(text: bytes | str) -> bool:
    """Whether a text has the marker in one of its forms."""
    haystack = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    return any(form in haystack for form in forms())


def http(status: int, body: bytes, *headers: str, length: int | None = None) -> bytes:
    """A reply on the wire."""
    head = [
        f"HTTP/1.1 {status} Said",
        "content-type: application/json",
        f"content-length: {len(body) if length is None else length}",
    ]
    return "\r\n".join([*head, *headers, "connection: close", "", ""]).encode() + body


def _error(status: int, *headers: str) -> Callable[[str], bytes]:
    """The usual refusal: it repeats the key, in words and in every encoding."""

    def reply(key: str) -> bytes:
        encodings = [key, key[::-1], key.encode().hex(), base64.b64encode(f"Bearer {key}".encode()).decode()]
        message = f"Incorrect API key provided: {key}. Debug: {encodings}"
        document = {"type": "error", "error": {"message": message, "type": "x", "param": key, "code": key, "status": key}}
        return http(status, json.dumps(document).encode(), *(header.format(key=key) for header in headers))

    return reply


def _good(key: str) -> bytes:
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    choice = {"index": 0, "message": {"role": "assistant", "content": f"You sent {key}."}, "finish_reason": "stop"}
    body = {"id": key, "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [choice], "usage": usage}
    return http(200, json.dumps(body).encode(), f"x-request-id: {key}", f"set-cookie: key={key}")


def _stream(*, broken: bool) -> Callable[[str], bytes]:
    def reply(key: str) -> bytes:
        choice = {"index": 0, "delta": {"role": "assistant", "content": f"You sent {key}."}, "finish_reason": None}
        chunk = {"id": key, "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o", "choices": [choice]}
        end = {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        last = {"error": {"message": f"bad key {key}", "code": key}} if broken else end
        body = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in (chunk, last)) + b"data: [DONE]\n\n"
        return http(200, body, f"x-request-id: {key}").replace(b"application/json", b"text/event-stream")

    return reply


REFUSED = ("x-request-id: {key}", "www-authenticate: Bearer {key}")
LATER = ("retry-after: {key}", "request-id: {key}")
BEHAVIOURS: dict[str, Callable[[str], bytes]] = {
    **{f"error-{status}": _error(status, *REFUSED) for status in (400, 401, 403, 404)},
    **{f"error-{status}": _error(status, *LATER) for status in (409, 422, 429, 500, 503, 529)},
    **{f"moved-{status}": _error(status, "location: http://127.0.0.1:1/{key}") for status in (301, 302, 307, 308)},
    "good": _good,
    "stream": _stream(broken=False),
    "stream-error": _stream(broken=True),
    "no-json": lambda key: http(200, b"<html>" + key.encode() + b"</html>", f"x-request-id: {key}"),
    "wrong-json": lambda key: http(200, json.dumps({"id": [key], "choices": {key: key}, "usage": key}).encode()),
    "odd-usage": lambda key: http(200, json.dumps({"id": "r", "choices": [], "usage": {"prompt_tokens": key}}).encode()),
    "cut": lambda key: http(200, b'{"id": "' + key.encode(), length=10_000),
    "no-http": lambda key: b"HTP/0.0 " + key.encode() + b"\r\n\r\n",
    "bad-status": lambda key: b"HTTP/1.1 abc " + key.encode() + b"\r\n\r\n",
    "bad-header": lambda key: b"HTTP/1.1 200 OK\r\n" + key.encode() + b"\x00: x\r\ncontent-length: 2\r\n\r\n{}",
    "bad-length": lambda key: b"HTTP/1.1 200 OK\r\ncontent-length: " + key.encode() + b"\r\n\r\n{}",
    "bad-chunks": lambda key: b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + key.encode() + b"\r\n",
    "bad-encoding": lambda key: http(200, b"\xff\xfe" + key.encode("utf-16-le"), "content-encoding: gzip"),
    "nothing": lambda _: b"",
}


@dataclass
class EchoingProvider:
    """Serves `/{behaviour}/…` in the way of its name, with the key that came in. `keys` are those that came."""

    port: int = 0
    keys: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, then the end of the connection."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            sent = {name.lower(): value for name, value in fields.items()}
            await reader.readexactly(int(sent.get("content-length", "0")))
            key = sent.get("x-api-key") or sent.get("x-goog-api-key") or sent["authorization"].removeprefix("Bearer ")
            self.keys.add(key)
            writer.write(BEHAVIOURS[head.split("/")[1]](key))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def echoing_provider() -> AsyncIterator[EchoingProvider]:
    """The provider, listening."""
    provider = EchoingProvider()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.port = server.sockets[0].getsockname()[1]
    async with server:
        yield provider


def canary_rows(provider: EchoingProvider, variable: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Channels and models for every behaviour in each dialect, and where nobody listens; one key comes from a variable."""
    channels: list[dict[str, Any]] = []
    for dialect, version in (("openai", "v1"), ("anthropic", "v1"), ("gemini", "v1beta")):
        for behaviour in BEHAVIOURS:
            name = f"{dialect}-{behaviour}"
            keys = [{"secret_env": variable}] if name == "openai-error-401" else [{"secret": secret_for(name)}]
            channels.append({"id": name, "dialect": dialect, "base_url": f"{provider.url}/{behaviour}/{version}", "keys": keys})
    channels.append(
        {"id": "gone", "dialect": "openai", "base_url": "http://127.0.0.1:1/v1", "keys": [{"secret": secret_for("gone")}]}
    )
    limits = {"max_input_tokens": 128_000, "max_output_tokens": 100}
    models = [
        {"id": row["id"], "owned_by": "sim", **limits, "candidates": [{"channel": row["id"], "upstream_model": "gpt-4o"}]}
        for row in channels
    ]
    return [{"route_type": "direct", "brand": "sim", **row} for row in channels], models


def assert_clean(where: str, texts: Iterable[bytes | str]) -> int:
    """No text has the marker; how many there were."""
    count = 0
    for text in texts:
        count += 1
        assert not found_in(text), f"{where}: {text[:2000]!r}"
    return count


async def records_of(kafka: str, asked: Iterable[UUID | str]) -> list[bytes]:
    """Every record of every topic, key and headers too, once each request has ended."""
    reading: dict[str, Any] = {"group_id": None, "auto_offset_reset": "earliest", "enable_auto_commit": False}
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, **reading)
    await consumer.start()
    found: list[bytes] = []
    waiting = {str(request_id).encode() for request_id in asked}
    try:
        consumer.subscribe(pattern=r"^[^_].*")
        async with asyncio.timeout(ENDED_TIMEOUT_S):
            while waiting:
                for messages in (await consumer.getmany(timeout_ms=500)).values():
                    for message in messages:
                        found.append(b"|".join([message.key or b"", message.value or b"", repr(message.headers).encode()]))
                        if b"RequestCompleted" in found[-1]:
                            waiting -= set(re.findall(rb"[0-9a-f]{8}-[0-9a-f-]{27}", message.value or b""))
    finally:
        await consumer.stop()
    return found


def rows_of(database_url: str) -> Iterator[str]:
    """Every row of every table, as text: bytes show in hexadecimal."""
    tables = (
        "SELECT table_schema, table_name FROM information_schema.tables"
        " WHERE table_type = 'BASE TABLE' AND table_schema !~ '^(pg_|information_schema)'"
    )
    with psycopg.connect(database_url) as connection:
        for schema, table in connection.execute(tables).fetchall():
            query = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(schema, table))
            for (row,) in connection.execute(query):
                yield row
