"""Channels that an operator took out of use, as this process knows them. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple


class Freeze(NamedTuple):
    """The latest decision on a channel, `frozen` or not: whose it is, why, and since when. `version` grows with each."""

    channel_id: str
    frozen: bool
    version: int
    author: str
    reason: str | None
    changed_at: datetime

    def said(self) -> str:
        """Who froze it, since when, and why."""
        why = f": {self.reason}" if self.reason else ""
        return f"frozen by {self.author} since {self.changed_at:%Y-%m-%d %H:%M:%S} UTC{why}"


class Freezes:
    """The decisions by channel. `channels` are those that are frozen: the hot path looks there."""

    def __init__(self) -> None:
        self._decided: dict[str, Freeze] = {}
        self.channels: dict[str, Freeze] = {}

    def apply(self, decided: Freeze) -> bool:
        """Obey a decision, unless a newer one is known. Whether it changed anything."""
        known = self._decided.get(decided.channel_id)
        if known is not None and known.version >= decided.version:
            return False
        self._decided[decided.channel_id] = decided
        if decided.frozen:
            self.channels[decided.channel_id] = decided
        else:
            self.channels.pop(decided.channel_id, None)
        return True

    @property
    def stamp(self) -> int:
        """Grows with every decision: equal to the database's where every decision is known."""
        return sum(each.version for each in self._decided.values())
