"""Server-sent events from bytes that arrive cut anywhere. Pure."""

from __future__ import annotations

import re

from services.router.errors import StreamMalformedError

EVENT_BYTES_MAX = 8 * 1024 * 1024
_END = re.compile(rb"\r?\n\r?\n")
_KEEP = 3
"""An end of event that was cut has at most its last byte missing: so many bytes before the new data are searched again."""


class EventSplitter:
    """Cuts a stream of bytes into events. Joined again, the events and the rest are the bytes that went in."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Events that are complete now, with its blank line. Raises :class:`StreamMalformedError` for one without end."""
        start = max(0, len(self._rest) - _KEEP)
        if self._rest:
            data = self._rest + data
        events: list[bytes] = []
        begin = 0
        for match in _END.finditer(data, start):
            events.append(data[begin : match.end()])
            begin = match.end()
        self._rest = data[begin:]
        if len(self._rest) > EVENT_BYTES_MAX:
            raise StreamMalformedError(f"an event of more than {EVENT_BYTES_MAX} bytes")
        return events

    @property
    def rest(self) -> bytes:
        """Bytes of an event that has not ended."""
        return self._rest


def data_of(event: bytes) -> bytes:
    """The event's data: its `data:` lines joined by newlines, b"" for a comment."""
    if event.startswith(b"data: ") and event.find(b"\n") >= len(event.rstrip(b"\r\n")):
        return event[6:].rstrip(b"\r\n")
    lines = [line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines)
