"""How a reply goes out when it is not simply written: with pauses, in parts, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from deploy.local.provider.ask import INSTANT, Pace

HANG_S_MAX = 600


class Ending(Enum):
    """What happens to the connection after the last byte."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"
    """Nothing more is ever sent: closed after ten minutes, or when the client goes."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A reply in parts. `closed` is called once, with the number of frames that went out, however it ended."""

    head: bytes
    frames: Sequence[bytes]
    closed: Callable[[int], None]
    pace: Pace = INSTANT
    ending: Ending = Ending.KEEP


class Wire(Protocol):
    """The sending side of a connection."""

    def send(self, data: bytes) -> None:
        """Write without waiting."""

    async def writable(self) -> None:
        """Return when the peer has taken enough of what was sent."""


async def play(delivery: Delivery, wire: Wire) -> None:
    """Send a delivery at its pace. The ending is the connection's business, but for the wait of HANG."""
    sent = 0
    try:
        await _pause(delivery.pace.latency_ms)
        if delivery.head:
            wire.send(delivery.head)
        await _pause(delivery.pace.ttft_ms)
        clock = asyncio.get_running_loop().time
        due = clock()
        for frame in delivery.frames:
            wire.send(frame)
            sent += 1
            await wire.writable()
            if delivery.pace.chunk_ms and sent < len(delivery.frames):
                due += delivery.pace.chunk_ms / 1000
                await asyncio.sleep(max(due - clock(), 0))
        if delivery.ending is Ending.HANG:
            await asyncio.sleep(HANG_S_MAX)
    finally:
        delivery.closed(sent)


async def _pause(milliseconds: float) -> None:
    if milliseconds:
        await asyncio.sleep(milliseconds / 1000)
