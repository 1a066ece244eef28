"""Channels that an operator took out of use, as this process knows them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

MAX_SAID: Final = 1000
ALERT: Final = "alert:"
"""What the author of a freeze begins with that a rule of alerts made."""
_RULE_AND_ALERT: Final = re.compile(r"rule [^,:]+, alert [0-9a-f-]{36}(?=:|$)")


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

    def told(self) -> str | None:
        """What a client may know: which alert it was. A person, the channel and its numbers are for operators alone."""
        if not self.author.startswith(ALERT):
            return None
        named = _RULE_AND_ALERT.match(self.reason or "")
        return named[0] if named else f"rule {self.author.removeprefix(ALERT)}"


class Freezes:
    """The decisions by channel, as Postgres has them. `channels` are those that are frozen: the hot path looks there."""

    def __init__(self) -> None:
        self._decided: dict[str, Freeze] = {}
        self._ahead: set[tuple[str, int]] = set()
        self.channels: dict[str, Freeze] = {}

    def replace(self, decisions: Iterable[Freeze]) -> list[Freeze]:
        """Obey these and forget all others, whatever their versions: a database that was restored counts, too. What changed."""
        decided = {each.channel_id: each for each in decisions}
        changed = [each for each in decided.values() if self._decided.get(each.channel_id) != each]
        self._decided = decided
        self.channels = {each.channel_id: each for each in decided.values() if each.frozen}
        return changed

    def knows(self, told: Freeze) -> bool:
        """Whether that is the decision in force here."""
        return self._decided.get(told.channel_id) == told

    def found_ahead(self, told: Freeze) -> bool:
        """Whether nobody decided that: its version is above the one in force. Says so once of each."""
        known, seen = self._decided.get(told.channel_id), (told.channel_id, told.version)
        if (known is not None and known.version >= told.version) or seen in self._ahead or len(self._ahead) >= MAX_SAID:
            return False
        self._ahead.add(seen)
        return True
