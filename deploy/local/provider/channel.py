"""A simulated channel: its faults, its pace, its figures and the shapes of what it was asked."""

from __future__ import annotations

import re
from collections import deque
from typing import Any

from deploy.local.provider.ask import INSTANT, Pace, Shape
from deploy.local.provider.faults import Fault, Schedule
from deploy.local.provider.invoice import Book

CHANNELS_MAX = 256
SHAPES_MAX = 1_000

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_RESERVED = frozenset({"control", "healthz"})


class Channel:
    """One channel, by the first segment of its URL."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.schedule = Schedule()
        self.pace: Pace = INSTANT
        self.book = Book()
        self._shapes: deque[tuple[Shape, bool, str | None]] = deque(maxlen=SHAPES_MAX)

    def saw(self, shape: Shape, authorized: bool, fault: Fault | None) -> None:
        """Remember what a request looked like and what befell it."""
        self._shapes.append((shape, authorized, fault.kind if fault else None))

    def seen(self) -> list[dict[str, Any]]:
        """The last requests, oldest first."""
        return [{**shape._asdict(), "authorization": authorized, "fault": fault} for shape, authorized, fault in self._shapes]

    def forget(self) -> None:
        """Start the figures and the shapes afresh; faults and pace stay."""
        self.book = Book()
        self._shapes.clear()


class Channels:
    """Every channel that was asked for or scripted."""

    def __init__(self) -> None:
        self._channels: dict[str, Channel] = {}

    def open(self, name: str) -> Channel | None:
        """The channel, made on first sight; None where the name is no channel's or too many exist."""
        channel = self._channels.get(name)
        if channel is not None:
            return channel
        if name in _RESERVED or not _NAME.fullmatch(name) or len(self._channels) >= CHANNELS_MAX:
            return None
        return self._channels.setdefault(name, Channel(name))

    def named(self, name: str | None) -> list[Channel]:
        """The one channel of that name if it exists, or all of them."""
        if name is None:
            return list(self._channels.values())
        return [self._channels[name]] if name in self._channels else []
