"""How each channel is doing: its breaker, which of its keys may be used, its limits, how fast it is. Sync, injected clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schemas.attempts import ErrorClass
from services.router.breaker import Breaker, BreakerLimits
from services.router.catalog import Channel, Place
from services.router.freezes import Freezes
from services.router.latency import Latencies
from services.router.limits import ChannelLimits, ChannelUse
from services.router.plan import SkipReason

COOLDOWN_UNAUTHORIZED_S = 30.0
"""How long a key rests that was refused or has spent its quota."""
COOLDOWN_UNTOLD_S = 1.0
"""How long a key rests that was limited without being told for how long, where another key can serve meanwhile."""
COOLDOWN_MAX_S = 60.0
FROZEN_WAIT_S = 60.0
"""After how long somebody may ask again for a channel that an operator froze: when that is lifted nobody knows."""
NO_LIMITS = ChannelLimits()
_SILENT: frozenset[ErrorClass] = frozenset(
    {"client_gone", "deadline_exceeded", "ledger_unavailable", "log_unavailable", "not_translatable", "internal"}
)
"""Failures that say nothing about the channel."""
_ANSWERED: frozenset[ErrorClass] = frozenset({"rate_limited", "invalid_request", "content_filtered", "unauthorized"})
"""Failures that the channel answered in good health; keys rest for some of them."""


class ChannelHealth:
    """One channel's state. A key that was refused or told to wait rests; the others take turns."""

    __slots__ = ("_cool_until", "_keys", "_turn", "breaker", "failures", "last_error", "latencies", "successes", "use")

    def __init__(self, channel: Channel, limits: BreakerLimits) -> None:
        self.breaker = Breaker(limits)
        self.use = ChannelUse()
        self.latencies = Latencies()
        self._keys = channel.keys
        self._cool_until = [0.0] * len(channel.keys)
        self._turn = 0
        self.successes = self.failures = 0
        self.last_error: ErrorClass | None = None

    def has_key(self, now: float, but: int | None = None) -> bool:
        """Whether a key may be used now, `but` left aside."""
        return any(until <= now for index, until in enumerate(self._cool_until) if index != but)

    def pick_key(self, now: float, preferred: int | None = None) -> int | None:
        """The preferred key where it may be used, else the next one in turn that may be, None where all rest."""
        if preferred is not None and preferred < len(self._keys) and self._cool_until[preferred] <= now:
            return preferred
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

    def condition(self, limits: ChannelLimits | None, tokens: int, now: float) -> SkipReason | None:
        """Why a call of about so many tokens must not be made now, None where it may be."""
        if not self.breaker.would_allow(now):
            return "circuit_open"
        if not self.has_key(now):
            return "cooldown"
        return None if limits is None else self.use.reached(limits, tokens, now)

    def wait_s(self, limits: ChannelLimits | None, tokens: int, now: float) -> float:
        """Seconds after which a call may pass, as far as that is known."""
        keys = max(0.0, min(self._cool_until, default=now + COOLDOWN_MAX_S) - now)
        return max(keys, self.breaker.wait_s(now), 0.0 if limits is None else self.use.wait_s(limits, tokens, now))

    def keys_resting(self, now: float) -> int:
        """How many keys rest."""
        return sum(until > now for until in self._cool_until)

    def described(self, now: float, limits: ChannelLimits | None = None) -> dict[str, Any]:
        """The state for operators."""
        return {
            "circuit": self.breaker.state,
            "retries_in_s": round(self.breaker.wait_s(now), 3),
            "keys": len(self._keys),
            "keys_resting": self.keys_resting(now),
            "in_flight": self.use.in_flight,
            "limits": self.use.described(limits or NO_LIMITS, now),
            "latency": self.latencies.described(),
            "successes": self.successes,
            "failures": self.failures,
            "last_error_class": self.last_error,
        }


class Passage:
    """One call that :meth:`Health.begin` let through. It ends once, by `succeeded` or `failed`; then its place is free.

    `health` is the state that let it through, and is told however the table changes meanwhile. `key` is the index of the
    channel's key, `attempt` the number of the attempt that it serves.
    """

    __slots__ = ("_clock", "_counted_at", "_generation", "_over", "_tokens", "attempt", "health", "key")

    def __init__(self, health: ChannelHealth, key: int, clock: Callable[[], float]) -> None:
        self.health = health
        self._clock = clock
        self._generation = health.breaker.generation
        self._tokens: int | None = None
        self._counted_at = 0
        self._over = False
        self.key = key
        self.attempt = 0

    def count(self, tokens: int, now: float) -> None:
        """Count the call against the channel's limits."""
        self._tokens = tokens
        self._counted_at = self.health.use.begin(tokens, now)

    def used(self, tokens: int) -> None:
        """The call used so many tokens: what the channel's limit counted by guess is put right."""
        if self._tokens is not None:
            self.health.use.tokens.correct(self._counted_at, tokens - self._tokens, self._clock())
            self._tokens = tokens

    def answered(self) -> None:
        """A stream's first chunk has come. A circuit that was being probed closes; how the stream ends is told by its end."""
        breaker = self.health.breaker
        if breaker.state == "half_open" and breaker.generation == self._generation:
            breaker.succeeded(self._clock())
            self._generation = breaker.generation

    def succeeded(self) -> None:
        """The call was answered."""
        if self._end():
            self.health.successes += 1
            if self.health.breaker.generation == self._generation:
                self.health.breaker.succeeded(self._clock())

    def failed(self, error: ErrorClass, retry_after_s: float | None = None, *, spent: bool = False) -> None:
        """The call failed. `spent`: its key has no quota left, which passes by no clock."""
        if not self._end():
            return
        health, now = self.health, self._clock()
        current = health.breaker.generation == self._generation
        if error in _SILENT:
            if current:
                health.breaker.abandoned()
            return
        health.failures += 1
        health.last_error = error
        self._rest(error, retry_after_s, now, spent=spent)
        if not current:
            return
        if error in _ANSWERED:
            health.breaker.succeeded(now)
        else:
            health.breaker.failed(now)

    def other_key(self) -> bool:
        """Whether another key of the channel may be asked at once."""
        return self.health.has_key(self._clock(), but=self.key)

    def _end(self) -> bool:
        if self._over:
            return False
        self._over = True
        self.health.use.in_flight -= 1
        return True

    def _rest(self, error: ErrorClass, retry_after_s: float | None, now: float, *, spent: bool) -> None:
        if error == "unauthorized" or spent:
            self.health.rest_key(self.key, now + COOLDOWN_UNAUTHORIZED_S)
        elif error == "rate_limited" and retry_after_s:
            self.health.rest_key(self.key, now + min(retry_after_s, COOLDOWN_MAX_S))
        elif error == "rate_limited" and self.health.has_key(now, but=self.key):
            self.health.rest_key(self.key, now + COOLDOWN_UNTOLD_S)


class Health:
    """The state of every channel. It outlives a reload of the table unless the channel's origin or keys change.

    `freezes` are the operators' decisions, which outlive every table.
    """

    def __init__(self, limits: BreakerLimits, clock: Callable[[], float], freezes: Freezes | None = None) -> None:
        self._limits = limits
        self._clock = clock
        self.freezes = freezes or Freezes()
        self._channels: dict[str, list[tuple[Channel, ChannelHealth]]] = {}

    def of(self, channel: Channel) -> ChannelHealth:
        """The channel's state, fresh where the channel is new or not the same any more.

        A request of the table before keeps its channel as it was: where that had other keys, the two have states of their own.
        """
        known = self._channels.setdefault(channel.id, [])
        for each, health in known:
            if each is channel:
                return health
        found = next((health for each, health in known if _same(each, channel)), None) or ChannelHealth(channel, self._limits)
        known.append((channel, found))
        return found

    def condition(self, channel: Channel, tokens: int = 0) -> SkipReason | None:
        """Why a call of about so many tokens must not be made to the channel now, None where it may."""
        if channel.id in self.freezes.channels:
            return "channel_frozen"
        return self.of(channel).condition(channel.limits, tokens, self._clock())

    def wait_s(self, channel: Channel, tokens: int = 0) -> float:
        """Seconds after which the channel may be called, as far as that is known."""
        if channel.id in self.freezes.channels:
            return FROZEN_WAIT_S
        return self.of(channel).wait_s(channel.limits, tokens, self._clock())

    def recent_ms(self, place: Place, stream: bool) -> float | None:
        """How long the place has lately taken, to the first chunk of a stream or to the whole of a plain reply."""
        return self.of(place.channel).latencies.recent_ms(place.upstream_model, stream=stream)

    def begin(self, channel: Channel, tokens: int = 0, preferred: int | None = None) -> Passage | SkipReason:
        """Take a call's place, with the preferred key where it may be used; or why the channel must not be called now."""
        if channel.id in self.freezes.channels:
            return "channel_frozen"
        health, now = self.of(channel), self._clock()
        reached = None if channel.limits is None else health.use.reached(channel.limits, tokens, now)
        if reached is not None:
            return reached
        if not health.has_key(now):
            return "cooldown"
        if not health.breaker.acquire(now):
            return "circuit_open"
        key = health.pick_key(now, preferred)
        assert key is not None
        passage = Passage(health, key, self._clock)
        if channel.limits is None:
            health.use.in_flight += 1
        else:
            passage.count(tokens, now)
        return passage

    def keep_only(self, channels: Mapping[str, Channel]) -> None:
        """Forget what a new table no longer has."""
        kept = {id_: (channel, self.of(channel)) for id_, channel in channels.items()}
        self._channels = {id_: [of] for id_, of in kept.items()}


def _same(one: Channel, other: Channel) -> bool:
    return one.origin == other.origin and one.keys == other.keys
