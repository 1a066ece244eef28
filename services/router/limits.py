"""What a channel may be asked in a minute and at once, counted in this process. Pure: the clock comes in.

The counts are this process's own: with n router processes each limit in the table is the n-th part of the channel's.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

LimitReason = Literal["request_limit", "token_limit", "concurrency_limit"]
SLOTS = 61
"""Seconds that are counted: one more than a minute, because the present one has only begun."""
CONCURRENCY_WAIT_S = 1.0
"""When a place may be free again nobody knows: calls end when they end."""


class ChannelLimits(NamedTuple):
    """A channel's limits, None where there is none."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None


class MinuteWindow:
    """How much was used in the last minute, in slots of a second: never more than the limit in any sixty seconds."""

    __slots__ = ("_second", "_slots", "_used")

    def __init__(self) -> None:
        self._slots = [0] * SLOTS
        self._second = 0
        self._used = 0

    def used(self, now: float) -> int:
        """What still counts."""
        second = int(now)
        if second > self._second:
            for passed in range(max(self._second + 1, second - SLOTS + 1), second + 1):
                self._used -= self._slots[passed % SLOTS]
                self._slots[passed % SLOTS] = 0
            self._second = second
        return self._used

    def add(self, amount: int, now: float) -> int:
        """Count an amount; the second that it is counted in, for :meth:`correct`."""
        self._used = self.used(now) + amount
        self._slots[self._second % SLOTS] += amount
        return self._second

    def correct(self, second: int, by: int, now: float) -> None:
        """Change what was counted in a second, unless that is longer ago than a minute."""
        self.used(now)
        if self._second - second < SLOTS:
            self._used += by
            self._slots[second % SLOTS] += by

    def wait_s(self, amount: int, limit: int, now: float) -> float:
        """Seconds until `amount` fits under the limit. More than the limit itself waits until nothing counts any more."""
        left = self.used(now)
        if left == 0 or left + amount <= limit:
            return 0.0
        for age in range(SLOTS - 1, -1, -1):
            left -= self._slots[(self._second - age) % SLOTS]
            if left == 0 or left + amount <= limit:
                return self._second - age + SLOTS - now
        return float(SLOTS)


class ChannelUse:
    """What a channel is used for now."""

    __slots__ = ("in_flight", "requests", "tokens")

    def __init__(self) -> None:
        self.in_flight = 0
        self.requests = MinuteWindow()
        self.tokens = MinuteWindow()

    def reached(self, limits: ChannelLimits, tokens: int, now: float) -> LimitReason | None:
        """The limit that a call of so many tokens would pass, None where it passes none."""
        if limits.concurrency is not None and self.in_flight >= limits.concurrency:
            return "concurrency_limit"
        if limits.requests_per_minute is not None and self.requests.used(now) >= limits.requests_per_minute:
            return "request_limit"
        if limits.tokens_per_minute is not None and self.tokens.wait_s(tokens, limits.tokens_per_minute, now) > 0:
            return "token_limit"
        return None

    def wait_s(self, limits: ChannelLimits, tokens: int, now: float) -> float:
        """Seconds until a call of so many tokens may pass every limit."""
        waits = [0.0]
        if limits.concurrency is not None and self.in_flight >= limits.concurrency:
            waits.append(CONCURRENCY_WAIT_S)
        if limits.requests_per_minute is not None:
            waits.append(self.requests.wait_s(1, limits.requests_per_minute, now))
        if limits.tokens_per_minute is not None:
            waits.append(self.tokens.wait_s(tokens, limits.tokens_per_minute, now))
        return max(waits)

    def begin(self, tokens: int, now: float) -> int:
        """A call of about so many tokens begins; the second in which its tokens are counted."""
        self.in_flight += 1
        self.requests.add(1, now)
        return self.tokens.add(tokens, now)

    def described(self, limits: ChannelLimits, now: float) -> dict[str, dict[str, int | None]]:
        """Each limit beside what is used of it, for operators."""
        return {
            "requests_per_minute": {"limit": limits.requests_per_minute, "used": self.requests.used(now)},
            "tokens_per_minute": {"limit": limits.tokens_per_minute, "used": self.tokens.used(now)},
            "concurrency": {"limit": limits.concurrency, "used": self.in_flight},
        }
