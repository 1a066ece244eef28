"""An upstream that answers whatever its path says, byte for byte: what no honest provider sends."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterable
from typing import Any

import orjson

DEEP = b'{"a":' * 400 + b"1" + b"}" * 400
"""Loads, and cannot be written again."""
USAGE: dict[str, Any] = {"prompt_tokens": 5, "completion_tokens": 6}
DONE = b"[DONE]"
PACE_S = 0.03


def reply(body: bytes, status: str = "200 OK", *headers: str, kind: str = "application/json") -> bytes:
    """A whole HTTP reply."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", "connection: close", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def stream(*events: bytes | dict[str, Any]) -> bytes:
    """A whole stream."""
    lines = [b"data: " + (each if isinstance(each, bytes) else orjson.dumps(each)) + b"\n\n" for each in events]
    return reply(b"".join(lines), kind="text/event-stream")


def chunk(text: str = "a", finish: str | None = None, index: Any = 0, **more: Any) -> dict[str, Any]:
    """One chunk."""
    choice = {"index": index, "delta": {"content": text}, "finish_reason": finish}
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


def deep(document: dict[str, Any], at: bytes) -> bytes:
    """The document with the deep object beside what is at `at`."""
    return orjson.dumps(document).replace(at, at + b',"z":' + DEEP)


WHOLE = {"id": "x", "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}], "usage": USAGE}
LAST = {"id": "x", "object": "chat.completion.chunk", "choices": [], "usage": USAGE}
REPLIES: dict[str, bytes] = {
    "deep-message": reply(deep(WHOLE, b'"content":"hi"')),
    "deep-usage": reply(deep(WHOLE, b'"completion_tokens":6')),
    "late-429": reply(b'{"error":{"message":"x"}}', "429 Too Many", "retry-after: Mon, 01 Jan 99999999999999 00:00:00 GMT"),
    "error-list": reply(b'{"error":[1]}', "400 Bad"),
    "absurd-usage": reply(orjson.dumps({**WHOLE, "usage": {"prompt_tokens": 10**12, "completion_tokens": 1}})),
    "stream-index": stream(chunk(finish="stop", index=[1]), LAST, DONE),
    "stream-deep-first": stream(deep(chunk(usage=USAGE), b'"created":1')),
    "stream-deep-usage": stream(chunk(), chunk(finish="stop"), deep(LAST, b'"completion_tokens":6'), DONE),
    "stream-deep-stamp": stream(
        orjson.dumps(chunk()).replace(b'"created":1', b'"created":' + DEEP), chunk(finish="stop"), LAST, DONE
    ),
    "stream-deep-chunk": stream(chunk(), deep(chunk(usage=USAGE), b'"created":1'), chunk(finish="stop"), LAST, DONE),
    "stream-index-later": stream(chunk(), chunk(finish="stop", index=[1]), LAST, DONE),
    "stream-giant": stream(chunk("word " * 2000)),
}


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        """Read one request, answer by its path's first part."""
        mode = self.rfile.readline().split(b"/")[1].decode()
        length = 0
        for line in iter(self.rfile.readline, b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line[15:])
        self.rfile.read(length)
        for part in REPLIES[mode].split(b"\n\n"):
            # Events come one by one, as from a model: what is wrong later must not reach router with what came first.
            self.wfile.write(part + b"\n\n" * mode.startswith("stream"))
            time.sleep(PACE_S * mode.startswith("stream"))


class Hostile(socketserver.ThreadingTCPServer):
    """The upstream, served by threads of the test's own process."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self.shutdown()
        self._thread.join()
        self.server_close()

    def channels(self) -> Iterable[dict[str, Any]]:
        """A channel for each mode, `hostile-<mode>`."""
        for mode in REPLIES:
            yield {
                "id": f"hostile-{mode}",
                "route_type": "direct",
                "brand": "hostile",
                "dialect": "openai",
                "base_url": f"http://127.0.0.1:{self.server_address[1]}/{mode}/v1",
                "keys": [{"secret": "sk-hostile"}],
            }
