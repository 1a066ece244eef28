"""How each channel is doing: its breaker, and which of its keys may be used. Sync, over an injected clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from schemas.attempts import ErrorClass
from services.router.breaker import Breaker, BreakerLimits
from services.router.catalog import Channel
from services.router.plan import SkipReason

COOLDOWN_UNAUTHORIZED_S = 30.0
COOLDOWN_MAX_S = 60.0
_SILENT: frozenset[ErrorClass] = frozenset(
    {"client_gone", "deadline_exceeded", "ledger_unavailable", "log_unavailable", "internal"}
)
"""Failures that say nothing about the channel."""
_ANSWERED: frozenset[ErrorClass] = frozenset({"rate_limited", "invalid_request", "content_filtered", "unauthorized"})
"""Failures that the channel answered in good health; keys rest for some of them."""


class ChannelHealth:
    """One channel's state. A key that was refused or told to wait rests; the others take turns."""

    __slots__ = ("_cool_until", "_keys", "_turn", "breaker", "failures", "last_error", "successes")

    def __init__(self, channel: Channel, limits: BreakerLimits) -> None:
        self.breaker = Breaker(limits)
        self._keys = channel.keys
        self._cool_until = [0.0] * len(channel.keys)
        self._turn = 0
        self.successes = self.failures = 0
        self.last_error: ErrorClass | None = None

    def has_key(self, now: float) -> bool:
        """Whether a key may be used now."""
        return any(until <= now for until in self._cool_until)

    def pick_key(self, now: float) -> int | None:
        """The index of the next key in turn that may be used, None where all rest."""
        count = len(self._keys)
        for step in range(count):
            index = (self._turn + step) % count
            if self._cool_until[index] <= now:
                self._turn = (index + 1) % count
                return index
        return None

    def rest_key(self, index: int, until: float) -> None:
        """Let a key rest until an instant of the clock."""
        self._cool_until[index] = max(self._cool_until[index], until)

    def described(self, now: float) -> dict[str, Any]:
        """The state for operators."""
        return {
            "circuit": self.breaker.state,
            "keys": len(self._keys),
            "keys_resting": sum(until > now for until in self._cool_until),
            "successes": self.successes,
            "failures": self.failures,
            "last_error_class": self.last_error,
        }


class Health:
    """The state of every channel. It outlives a reload of the table unless the channel's origin or keys change."""

    def __init__(self, limits: BreakerLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._channels: dict[str, tuple[Channel, ChannelHealth]] = {}

    def of(self, channel: Channel) -> ChannelHealth:
        """The channel's state, fresh where the channel is new or not the same any more."""
        known = self._channels.get(channel.id)
        if known is not None:
            if known[0] is channel:
                return known[1]
            if known[0].origin == channel.origin and known[0].keys == channel.keys:
                self._channels[channel.id] = (channel, known[1])
                return known[1]
        health = ChannelHealth(channel, self._limits)
        self._channels[channel.id] = (channel, health)
        return health

    def condition(self, channel: Channel) -> SkipReason | None:
        """Why the channel must not be called now, None where it may."""
        health, now = self.of(channel), self._clock()
        if not health.breaker.would_allow(now):
            return "circuit_open"
        return None if health.has_key(now) else "cooldown"

    def begin(self, channel: Channel) -> int | SkipReason:
        """Take a call's place: the index of the key to use, or why the channel must not be called now."""
        health, now = self.of(channel), self._clock()
        key = health.pick_key(now)
        if key is None:
            return "cooldown"
        return key if health.breaker.acquire(now) else "circuit_open"

    def succeeded(self, channel: Channel) -> None:
        """The call that :meth:`begin` let through was answered."""
        health = self.of(channel)
        health.successes += 1
        health.breaker.succeeded(self._clock())

    def failed(self, channel: Channel, key: int, error: ErrorClass, retry_after_s: float | None) -> None:
        """The call that :meth:`begin` let through failed."""
        health, now = self.of(channel), self._clock()
        if error in _SILENT:
            health.breaker.abandoned()
            return
        health.failures += 1
        health.last_error = error
        if error == "unauthorized":
            health.rest_key(key, now + COOLDOWN_UNAUTHORIZED_S)
        elif error == "rate_limited" and retry_after_s:
            health.rest_key(key, now + min(retry_after_s, COOLDOWN_MAX_S))
        if error in _ANSWERED:
            health.breaker.succeeded(now)
        else:
            health.breaker.failed(now)

    def keep_only(self, ids: Iterable[str]) -> None:
        """Forget the channels that a new table no longer has."""
        kept = set(ids)
        for id_ in [id_ for id_ in self._channels if id_ not in kept]:
            del self._channels[id_]
