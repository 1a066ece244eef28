"""Kafka's protocol as far as a gate needs it: frames, the API that each asks for, and addresses that lead back to the proxy."""

from __future__ import annotations

from collections.abc import Iterator

from tests.reliability.crash.gates import Message

APIS = {0: "Produce", 1: "Fetch", 3: "Metadata", 8: "OffsetCommit", 10: "FindCoordinator"}
ADDRESSED = frozenset({"Metadata", "FindCoordinator"})


class KafkaConversation:
    """Names frames after their API; the story of an answer to Produce is what was produced.

    A broker's address stands in its answers as host and port side by side: the port is replaced by the proxy's, so that
    every later connection comes here too.
    """

    def __init__(self, broker: tuple[str, int], port: int) -> None:
        host = broker[0].encode()
        self._address = host + broker[1].to_bytes(4)
        self._own = host + port.to_bytes(4)
        self._up = self._down = b""
        self._asked: dict[bytes, tuple[str, bytes]] = {}

    def up(self, data: bytes) -> Iterator[Message]:
        """What the client sends."""
        frames, self._up = _frames(self._up + data)
        for frame in frames:
            what = APIS.get(int.from_bytes(frame[4:6]), "")
            self._asked[frame[8:12]] = (what, frame if what == "Produce" else b"")
            yield Message("up", frame, what, story=frame)

    def down(self, data: bytes) -> Iterator[Message]:
        """What the broker answers."""
        frames, self._down = _frames(self._down + data)
        for frame in frames:
            what, story = self._asked.pop(frame[4:8], ("", b""))
            answer = frame.replace(self._address, self._own) if what in ADDRESSED else frame
            yield Message("down", answer, what, story=story)


def _frames(data: bytes) -> tuple[list[bytes], bytes]:
    """Whole frames, and what is left."""
    found = []
    while len(data) >= 4 and len(data) >= (size := 4 + int.from_bytes(data[:4])):
        found.append(data[:size])
        data = data[size:]
    return found, data
