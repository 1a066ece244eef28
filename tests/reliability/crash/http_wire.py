"""HTTP/1.1 between our processes: one request at a time per connection, named by its request line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from tests.reliability.crash.gates import Message

REQUEST_LINE = re.compile(rb"(?:GET|POST) (\S+) HTTP/1\.1\r\n")
PROBE = re.compile(rb'"probe":"([^"]+)"')


class HttpConversation:
    """Bytes as they come. The story is the request, as far as it was sent."""

    def __init__(self, _port: int) -> None:
        self._path = ""
        self._request = b""

    def up(self, data: bytes) -> Iterator[Message]:
        """What the client sends."""
        if line := REQUEST_LINE.match(data):
            self._path, self._request = line[1].decode(), b""
        self._request += data
        yield Message("up", data, self._path, story=self._request)

    def down(self, data: bytes) -> Iterator[Message]:
        """What the server answers."""
        yield Message("down", data, self._path, story=self._request)


class Tap:
    """Counts what went to the provider: calls by the probe that the client put into its request, and bytes that came back.

    A second witness beside the simulator's own books: it sees each call on the wire, whatever becomes of its caller.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()

    def converse(self, port: int) -> HttpConversation:
        """A connection that is counted here."""
        return _Tapped(port, self)


class _Tapped(HttpConversation):
    def __init__(self, port: int, tap: Tap) -> None:
        super().__init__(port)
        self._tap = tap
        self._probe: str | None = None

    def up(self, data: bytes) -> Iterator[Message]:
        for message in super().up(data):
            if REQUEST_LINE.match(message.data):
                self._probe = None
            if self._probe is None and (found := PROBE.search(message.story)):
                self._probe = found[1].decode()
                self._tap.calls[self._probe] += 1
            yield message

    def down(self, data: bytes) -> Iterator[Message]:
        if self._probe is not None:
            self._tap.answered[self._probe] += len(data)
        return super().down(data)
