"""Where requests that a prompt cache may know were last answered: a bounded memory of hashes, in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cachetools import TLRUCache

from services.router.ask import Ask
from services.router.cache_traces import trace_of
from services.router.catalog import Catalog, Model, Place
from services.router.health import ChannelHealth, Health
from services.router.plan import Preference

TRACES_MAX = 100_000


class Trace(NamedTuple):
    """A request's hash, and for how long its answer's place is remembered."""

    hash: bytes
    seconds: int


class _Spot(NamedTuple):
    preference: Preference
    health: ChannelHealth
    seconds: int


class Affinity:
    """Remembers, forgets after each model's own time, and the least recently used beyond its bound."""

    def __init__(self, secret: bytes, clock: Callable[[], float], most: int = TRACES_MAX) -> None:
        self._secret = secret
        self._spots: TLRUCache[bytes, _Spot] = TLRUCache(most, lambda _, spot, now: now + spot.seconds, clock)

    def __len__(self) -> int:
        return len(self._spots)

    def trace(self, model: Model, ask: Ask, account_id: str) -> Trace | None:
        """What the request is recognised by, None where its model is not sticky or it shows nothing."""
        if model.sticky is None:
            return None
        found = trace_of(ask, model.sticky.by, f"{account_id}\0{model.id}".encode(), self._secret)
        return None if found is None else Trace(found, model.sticky.seconds)

    def recall(self, trace: Trace, catalog: Catalog, health: Health) -> Preference | None:
        """Where the request was last answered; None where that is forgotten, or the channel is not the same any more."""
        spot = self._spots.get(trace.hash)
        if spot is None:
            return None
        channel = catalog.channels.get(spot.preference.channel)
        return spot.preference if channel is not None and health.of(channel) is spot.health else None

    def remember(self, trace: Trace, place: Place, key: int, health: ChannelHealth) -> None:
        """The request was answered here."""
        preference = Preference(place.channel.id, place.upstream_model, key)
        self._spots[trace.hash] = _Spot(preference, health, trace.seconds)
