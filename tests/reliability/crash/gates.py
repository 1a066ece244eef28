"""Where bytes are held back: a gate catches the messages that it is set for, until the test lets them go or loses them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Direction = Literal["up", "down"]
"""From the process under test to its peer, or back."""
REACHED_TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True)
class Message:
    """One protocol message on its way.

    `what` is the statement, API or request line that it asks or answers; `who` says on whose connection; `story` is what
    its meaning depends on: the statements since the last end of a transaction, or the request that a reply answers.
    """

    direction: Direction
    data: bytes
    what: str
    who: str = ""
    story: bytes = b""


class Gate:
    """Holds every message that `matches`, and with it whatever follows in the same direction of the same connection.

    With `once` only the first connection that is caught is held: others pass.
    """

    def __init__(self, direction: Direction, matches: Callable[[Message], bool], *, once: bool = False) -> None:
        self._direction = direction
        self._matches = matches
        self._once = once
        self._owner: object | None = None
        self._verdict: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._news = asyncio.Event()
        self.caught: list[Message] = []

    def wants(self, message: Message, connection: object) -> bool:
        """Whether the message has to stop here."""
        if self._verdict.done() or message.direction != self._direction:
            return False
        if self._once and self._owner not in {None, connection}:
            return False
        return self._matches(message)

    async def hold(self, message: Message, connection: object) -> bool:
        """Wait for the verdict: True lets the message pass, False loses it with its connection."""
        self._owner = self._owner or connection
        self.caught.append(message)
        self._news.set()
        return await asyncio.shield(self._verdict)

    async def reached(self, enough: Callable[[list[Message]], bool] = bool, timeout_s: float = REACHED_TIMEOUT_S) -> None:
        """Return once something is held here that is enough. Raises TimeoutError: the point was never reached."""
        async with asyncio.timeout(timeout_s):
            while not enough(self.caught):
                self._news.clear()
                await self._news.wait()

    def open(self) -> None:
        """Deliver what is held, and hold nothing any more."""
        self._decide(True)

    def sever(self) -> None:
        """Lose what is held, and hold nothing any more."""
        self._decide(False)

    def _decide(self, passes: bool) -> None:
        if not self._verdict.done():
            self._verdict.set_result(passes)
