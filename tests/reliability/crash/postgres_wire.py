"""Postgres' protocol, version 3, as far as a gate needs it: which statement is sent, and which one is answered."""

from __future__ import annotations

from collections.abc import Iterator

from tests.reliability.crash.gates import Message

NEGOTIATIONS = frozenset({80877103, 80877104})
"""Codes of the requests for TLS and GSSAPI: answered with one bare byte."""
STORY_STATEMENTS = 40
ENDS = ("COMMIT", "ROLLBACK")


class PostgresConversation:
    """Names every message after its statement. The story is every statement since the transaction before ended."""

    def __init__(self, _port: int) -> None:
        self._up = self._down = b""
        self._started = False
        self._bare_bytes = 0
        self._prepared: dict[bytes, str] = {}
        self._story: list[str] = []
        self._sent = ""
        self._who = ""

    def up(self, data: bytes) -> Iterator[Message]:
        """What the client sends."""
        self._up += data
        while (size := self._size_up()) and len(self._up) >= size:
            message, self._up = self._up[:size], self._up[size:]
            yield self._client_message(message)

    def down(self, data: bytes) -> Iterator[Message]:
        """What the server answers. A COMMIT is named by its own completion, everything else by the statement sent last."""
        self._down += data
        while self._down:
            size = 1 if self._bare_bytes else 1 + int.from_bytes(self._down[1:5]) if len(self._down) >= 5 else 0
            if not size or len(self._down) < size:
                return
            message, self._down = self._down[:size], self._down[size:]
            self._bare_bytes = max(self._bare_bytes - 1, 0)
            committed = message[:1] == b"C" and message[5:12] == b"COMMIT\0"
            what = "COMMIT" if committed else self._sent if self._sent != "COMMIT" else ""
            yield Message("down", message, what, self._who, "\n".join(self._story).encode())

    def _size_up(self) -> int:
        if not self._started:
            return int.from_bytes(self._up[:4]) if len(self._up) >= 4 else 0
        return 1 + int.from_bytes(self._up[1:5]) if len(self._up) >= 5 else 0

    def _client_message(self, message: bytes) -> Message:
        what = ""
        if not self._started:
            self._begin(message)
        elif statement := self._statement(message):
            what = self._sent = statement
            if self._story and self._story[-1].startswith(ENDS):
                self._story.clear()
            self._story = [*self._story[-STORY_STATEMENTS:], statement]
        return Message("up", message, what, self._who, "\n".join(self._story).encode())

    def _begin(self, message: bytes) -> None:
        if int.from_bytes(message[4:8]) in NEGOTIATIONS:
            self._bare_bytes += 1
            return
        self._started = True
        parameters = message[8:].split(b"\0")
        named = dict(zip(parameters[::2], parameters[1::2], strict=False))
        self._who = named.get(b"application_name", b"").decode()

    def _statement(self, message: bytes) -> str:
        """The SQL that the message runs: a simple query, or what its parameters are bound to. Preparing alone runs nothing."""
        kind, body = message[:1], message[5:]
        if kind == b"Q":
            return body.rstrip(b"\0").decode()
        if kind == b"P":
            name, sql, *_ = body.split(b"\0")
            self._prepared[name] = sql.decode()
        return self._prepared.get(body.split(b"\0")[1], "") if kind == b"B" else ""
