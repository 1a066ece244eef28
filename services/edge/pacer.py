"""Holds callers to their requests and tokens per minute.

A request counts when it comes, and its tokens by an estimate, so that a flood of calls at once is not let in on what none of
them has used yet. When its end is known, the estimate is put right by what was used, in the minute in which it was counted.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Literal, Protocol

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.exceptions import RedisError

from services.edge import metrics
from services.edge.errors import InvalidRequestError, RateLimitedError, UnavailableError
from services.edge.pace import MINUTE_S, Estimate, MinuteLimit, Standing, Standings, Unit, Window, wait_s

log = structlog.get_logger(__name__)

OnOutage = Literal["local", "refuse"]
AWAY_S = 1.0
"""How long a store that did not answer is left alone before one call tries it again."""
SUBJECTS = {"account": "the account of this API key", "project": "the project of this API key", "key": "this API key"}


class Windows(Protocol):
    """A storage of the library which can correct what was counted."""

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """As the library says."""

    async def correct(self, key: str, expiry: int, amount: int, counted_at: float) -> None:
        """Add to what was counted at that instant, or take from it."""


class PerMinute(RateLimitItemPerMinute):
    """So many in a minute. The counter is the envelope's, whatever its limit is at the moment."""

    def key_for(self, *identifiers: bytes | str | float) -> str:
        """The name of the counter."""
        return "/".join(map(str, identifiers))


@dataclass(frozen=True, slots=True)
class Counted:
    """What a call was counted at."""

    store: "Counters"
    limit: MinuteLimit
    unit: Unit
    amount: int
    at: float


@dataclass(slots=True)
class Paced:
    """A call of a limited caller: where its counters stand, and what is to be put right at its end."""

    standings: Standings = field(default_factory=Standings)
    counted: list[Counted] = field(default_factory=list)


class Counters:
    """Counters in one storage, by the library's sliding window."""

    def __init__(self, windows: Windows) -> None:
        assert isinstance(windows, Storage)
        self._windows = windows
        self._limiter = SlidingWindowCounterRateLimiter(windows)

    async def hit(self, limit: MinuteLimit, unit: Unit, amount: int) -> tuple[bool, Window]:
        """Count the amount if there is room for it; whether there was, and the window."""
        most = limit.of(unit)
        assert most is not None
        names = (limit.kind, limit.id, unit)
        passed = await self._limiter.hit(PerMinute(most), *names, cost=amount)
        return passed, await self.window(limit, unit)

    async def window(self, limit: MinuteLimit, unit: Unit) -> Window:
        """What was counted."""
        return Window(*await self._windows.get_sliding_window(f"{limit.kind}/{limit.id}/{unit}", MINUTE_S))

    async def correct(self, counted: Counted, amount: int) -> None:
        """Put right what was counted."""
        name = f"{counted.limit.kind}/{counted.limit.id}/{counted.unit}"
        await self._windows.correct(name, MINUTE_S, amount, counted.at)


class Pacer:
    """Counts calls in the shared store where there is one, else in this process.

    While the shared store is away, `local` counts in this process alone, `refuse` lets no limited call in.
    """

    def __init__(
        self,
        local: Windows,
        shared: Windows | None = None,
        *,
        on_outage: OnOutage = "local",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._local = Counters(local)
        self._shared = None if shared is None else Counters(shared)
        self._on_outage = on_outage
        self._clock = clock
        self._away = False
        self._try_again_at = 0.0

    async def request(self, paced: Paced, limits: Sequence[MinuteLimit]) -> None:
        """Count a request. Raises :class:`RateLimitedError`, and then counts nothing."""
        for limit in limits:
            if limit.requests is not None:
                await self._count(paced, limit, "requests", 1)

    async def tokens(self, paced: Paced, limits: Sequence[MinuteLimit], need: Estimate) -> None:
        """Count the tokens that a call may need. Raises as :meth:`request` does; the request is not counted then either."""
        for limit in limits:
            if limit.tokens is None:
                continue
            if need.output is not None and need.output > limit.tokens:
                await self._let_go(paced)
                raise _never(limit, limit.tokens, need.output)
            await self._count(paced, limit, "tokens", need.within(limit.tokens))

    async def look(self, paced: Paced, limits: Sequence[MinuteLimit]) -> None:
        """Where counters stand that a call did not come to, because it was refused before."""
        for limit in limits if paced.standings.tokens is None else ():
            if limit.tokens is not None and (window := await self._window(limit)) is not None:
                paced.standings.meet("tokens", Standing.of(limit.tokens, window))

    async def settle(self, paced: Paced, used: int | None) -> None:
        """Put the tokens right by what was used; None where nobody knows it: then the estimate stays."""
        counted, paced.counted = paced.counted, []
        for each in counted:
            if each.unit == "tokens" and used is not None and used != each.amount:
                await self._correct(each, used - each.amount)

    async def _count(self, paced: Paced, limit: MinuteLimit, unit: Unit, amount: int) -> None:
        at = self._clock()
        store, (passed, window) = await self._hit(paced, limit, unit, amount)
        most = limit.of(unit)
        assert most is not None
        paced.standings.meet(unit, Standing.of(most, window))
        if passed:
            paced.counted.append(Counted(store, limit, unit, amount, at))
            return
        metrics.RATE_LIMITED.labels(limit.kind, unit).inc()
        await self._let_go(paced)
        raise RateLimitedError(
            _said(limit, unit, most, window),
            retry_after_s=max(1, ceil(wait_s(most, window, amount))),
            facts={"envelope": {"kind": limit.kind, "id": limit.id, "window": "minute"}},
        )

    async def _hit(self, paced: Paced, limit: MinuteLimit, unit: Unit, amount: int) -> tuple[Counters, tuple[bool, Window]]:
        if self._shared is not None and self._may_try():
            try:
                answer = await self._shared.hit(limit, unit, amount)
            except (RedisError, OSError) as error:
                self._gone(error)
            else:
                self._away = False
                return self._shared, answer
        if self._shared is not None and self._on_outage == "refuse":
            await self._let_go(paced)
            raise UnavailableError("rate_limits_unavailable", "Requests cannot be counted now. Try again.")
        return self._local, await self._local.hit(limit, unit, amount)

    async def _window(self, limit: MinuteLimit) -> Window | None:
        store = self._local if self._shared is None else self._shared
        if store is self._shared and self._away:
            return None
        try:
            return await store.window(limit, "tokens")
        except (RedisError, OSError) as error:
            self._gone(error)
            return None

    async def _let_go(self, paced: Paced) -> None:
        """Take back what was counted of a call that is refused."""
        counted, paced.counted = paced.counted, []
        for each in counted:
            await self._correct(each, -each.amount)

    async def _correct(self, counted: Counted, amount: int) -> None:
        if counted.store is self._shared and self._away:
            return
        try:
            await counted.store.correct(counted, amount)
        except (RedisError, OSError) as error:
            # What was counted wears off within two minutes by itself.
            self._gone(error)

    def _may_try(self) -> bool:
        """Whether to ask the shared store: while it is away one call now and then does, so that no crowd waits for it."""
        if not self._away:
            return True
        if self._clock() < self._try_again_at:
            return False
        self._try_again_at = self._clock() + AWAY_S
        return True

    def _gone(self, error: Exception) -> None:
        metrics.RATE_LIMIT_STORE_ERRORS.inc()
        if not self._away:
            log.warning("the store of rate limits does not answer", error=repr(error), until_then=self._on_outage)
        self._away, self._try_again_at = True, self._clock() + AWAY_S


def _said(limit: MinuteLimit, unit: Unit, most: int, window: Window) -> str:
    used = min(most, round(window.counted()))
    named = unit if most != 1 else unit.removesuffix("s")
    return f"Rate limit reached: {SUBJECTS[limit.kind]} may use {most} {named} a minute, and {used} count at the moment."


def _never(limit: MinuteLimit, most: int, output: int) -> InvalidRequestError:
    said = f"This request asks for up to {output} tokens, and {SUBJECTS[limit.kind]} may use {most} a minute: lower its cap."
    return InvalidRequestError("request_exceeds_rate_limit", said, param="max_tokens")
