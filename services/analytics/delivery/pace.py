"""How many messages a receiver takes in a minute, and what becomes of more than that. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

WINDOW = timedelta(minutes=1)
Gathering = Literal["singly", "digest", "batch"]
"""singly: one message for each change of an alert, each in its turn. digest: what is more than the pace allows comes in one
message that names some and counts the rest. batch: the receiver takes many alerts in one call."""
GATHERING: dict[str, Gathering] = {
    "slack": "digest", "email": "digest", "alertmanager": "batch", "pagerduty": "singly", "webhook": "singly",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Turn:
    """What may be sent now: so many changes in one message, none before `wait_until`."""

    size: int
    wait_until: datetime | None = None


def within_window(recent: Sequence[datetime], now: datetime) -> list[datetime]:
    """When messages of the last minute went out."""
    return [at for at in recent if now - WINDOW < at <= now]


def turn(recent: Sequence[datetime], per_minute: int, waiting: int, gathering: Gathering, now: datetime) -> Turn:
    """The next message of a receiver for which so many changes wait, `recent` being when its last messages went out.

    The last one of the minute takes everything that waits, where the receiver can be told of many at once.
    """
    counted = sorted(within_window(recent, now))
    room = per_minute - len(counted)
    if waiting <= 0:
        return Turn(0)
    if room <= 0:
        return Turn(0, counted[-per_minute] + WINDOW)
    if gathering == "batch" or (gathering == "digest" and room == 1):
        return Turn(waiting)
    return Turn(1)
