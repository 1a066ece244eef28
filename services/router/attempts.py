"""The loop over attempts: retry, move on, or give up, each with its event. What is called is the caller's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import NamedTuple, TypeVar

import structlog

from schemas.attempts import ErrorClass, FallbackReason
from services.router import metrics
from services.router.affinity import Affinity
from services.router.backoff import Backoff, delay_s
from services.router.buckets import Buckets
from services.router.call import Call, Running
from services.router.errors import LedgerUnavailableError, LogUnavailableError, UpstreamError
from services.router.events import Record
from services.router.funding import Funding
from services.router.health import Health, Passage
from services.router.plan import LIMIT_REASONS
from services.router.publisher import Publisher
from services.router.translation import unsaid

T = TypeVar("T")
log = structlog.get_logger(__name__)
WAKE_MARGIN_S = 0.005
"""A key that rests until an instant is asked a moment after it: timers may fire a little early."""
KEY_FAULTS: frozenset[ErrorClass] = frozenset({"rate_limited", "unauthorized"})
"""What a key is refused for: another key of the same channel may be asked at once."""


class AttemptRules(NamedTuple):
    """How often one channel is asked for one request, and the waits in between."""

    tries_per_channel: int
    backoff: Backoff


class AttemptLoop:
    """Runs a plan until an attempt answers."""

    def __init__(
        self,
        funding: Funding,
        health: Health,
        publisher: Publisher,
        buckets: Buckets,
        *,
        rules: AttemptRules,
        draw: Callable[[], float],
        affinity: Affinity | None = None,
    ) -> None:
        self._funding = funding
        self._health = health
        self._publisher = publisher
        self._buckets = buckets
        self._affinity = affinity
        self._rules = rules
        self._draw = draw

    async def run(
        self, call: Call, make: Callable[[Call, Running], Awaitable[T]], gone: Callable[[], bool]
    ) -> tuple[T, Running]:
        """The first answer. Raises the last :class:`UpstreamError` where there is none, each attempt already written down.

        `make` makes one upstream call. `gone` tells whether the client has gone: then nothing new is begun.
        """
        index, tries = 0, 0
        last = UpstreamError("upstream_unavailable", "next")
        while True:
            if gone():
                raise UpstreamError("client_gone", "pass")
            running = await self._begin(call, index)
            if running is None:
                raise last if call.attempts else self._nothing_begun(call, last)
            tries = tries + 1 if running.position == index else 1
            try:
                answer = await _made(make, call, running)
            except UpstreamError as failure:
                self._note(call, running, failure)
                index = await self._after(call, running, failure, tries)
                tries = tries if index == running.position else 0
                last = failure
            except BaseException:
                # Cancelled, or the log or the ledger is away: nothing is known of the channel, and its place is free.
                _passage(call).failed("internal")
                raise
            else:
                self._answered(call, running)
                return answer, running

    async def _begin(self, call: Call, start: int) -> Running | None:
        """Begin an attempt at the candidate or the next one that may be called and is paid for, None where none is left."""
        for index in range(start, len(call.plan.places)):
            obstacle = self._obstacle(call, index) or _unsaid(call, index)
            if obstacle is None and index not in call.covers:
                if not await self._funding.cross(call, index, self._remaining_s(call)):
                    continue
                obstacle = _unsaid(call, index)
            if obstacle is None:
                channel = call.plan.places[index].channel
                passage = self._health.begin(channel, call.expected_tokens, call.plan.sticky_key if index == 0 else None)
                if isinstance(passage, Passage):
                    return await self._announce(call, index, passage)
                obstacle = passage
            if call.left is None or call.left[0] != index:
                self._arrive(call, index, None)
                call.leave(index, None, obstacle)
        return None

    def _nothing_begun(self, call: Call, otherwise: UpstreamError) -> UpstreamError:
        """What the client is told where the last free places were taken after the plan was made, or nobody could be told it.

        A part that candidates cannot say is the answer only where none is left that could: that one may be free again soon.
        """
        able = [index for index in call.covers if index not in call.unsaid]
        if not able and call.unsaid:
            return next(iter(call.unsaid.values()))
        reasons = {None if call.left is None else call.left[2], *(self._obstacle(call, index) for index in able)}
        if not reasons & LIMIT_REASONS:
            return otherwise
        paid = [self._health.wait_s(call.plan.places[index].channel, call.expected_tokens) for index in able]
        return UpstreamError("rate_limited", "next", retry_after_s=max(1.0, min(paid, default=1.0)))

    def _obstacle(self, call: Call, index: int) -> FallbackReason | None:
        if index in call.unpayable:
            return "insufficient_funds"
        if index not in call.covers and (skip := call.plan.skips[index]) is not None:
            return skip
        return self._health.condition(call.plan.places[index].channel, call.expected_tokens)

    async def _announce(self, call: Call, index: int, passage: Passage) -> Running:
        place = call.plan.places[index]
        records = self._arrive(call, index, len(call.attempts) + 1)
        running = call.begin(index, passage.key, monotonic())
        passage.attempt, call.passage = running.number, passage
        records.append(call.writer.attempt_started(running.number, place.candidate, running.cover.grant.hold_id))
        account_id = call.context.account_id
        if running.number == 1:
            # The hold's own row names the first attempt: it need not wait for the log.
            self._publisher.put(account_id, records)
            return running
        try:
            await self._publisher.put_and_wait(account_id, records)
        except BaseException:
            passage.failed("log_unavailable")
            raise
        return running._replace(begun=monotonic())

    def _arrive(self, call: Call, index: int, attempt: int | None) -> list[Record]:
        if call.left is None:
            return []
        types = [call.plan.places[i].channel.route_type for i in (call.left[0], index)]
        fallback = call.arrive(index, attempt, crossed_bucket=not self._buckets.same(types[0], types[1]))
        if fallback is None:
            return []
        metrics.FALLBACKS.labels(reason=fallback["reason"]).inc()
        record = call.writer.fallback_taken(fallback)
        if attempt is not None:
            return [record]
        self._publisher.put(call.context.account_id, [record])
        return []

    def _answered(self, call: Call, running: Running) -> None:
        """The first byte of a stream, or a whole plain reply."""
        passage = _passage(call)
        latencies = passage.health.latencies
        latencies.observe(running.place.upstream_model, (monotonic() - running.begun) * 1000, stream=call.ask.stream)
        if self._affinity is not None and call.trace is not None:
            self._affinity.remember(call.trace, running.place, running.key, passage.health)
        if call.ask.stream:
            passage.answered()
        else:
            passage.succeeded()

    def _note(self, call: Call, running: Running, failure: UpstreamError) -> None:
        channel, passage = running.place.channel, _passage(call)
        spent = failure.verdict == "next" and failure.error_class == "rate_limited"
        passage.failed(failure.error_class, failure.retry_after_s, spent=spent)
        if failure.usage is not None:
            passage.used(failure.usage.total_tokens)
        if failure.error_class == "timeout":
            waited_ms = (monotonic() - running.begun) * 1000
            passage.health.latencies.observe(running.place.upstream_model, waited_ms, stream=call.ask.stream)
        metrics.ATTEMPTS.labels(channel=channel.id, result=failure.error_class).inc()
        attempt = call.failed(running, failure, monotonic())
        self._publisher.put(call.context.account_id, [call.writer.attempt_finished(attempt)])
        call.leave(running.position, running.number, failure.error_class)

    async def _after(self, call: Call, running: Running, failure: UpstreamError, tries: int) -> int:
        """The index to go on with, after the wait that it needs. Raises the failure where the request ends with it."""
        remaining_s = self._remaining_s(call)
        if remaining_s <= 0:
            raise UpstreamError("deadline_exceeded", "pass", status=failure.status) from failure
        if failure.verdict == "pass" or len(call.attempts) >= call.plan.max_attempts:
            raise failure
        other_key = failure.error_class in KEY_FAULTS and _passage(call).other_key()
        if (failure.verdict == "retry" or other_key) and tries < self._rules.tries_per_channel:
            wait_s = 0.0 if other_key else self._wait_s(failure, tries, remaining_s)
            if wait_s is not None:
                await asyncio.sleep(wait_s)
                return running.position
        return running.position + 1

    def _wait_s(self, failure: UpstreamError, tries: int, remaining_s: float) -> float | None:
        wait_s = delay_s(
            self._rules.backoff, tries=tries, retry_after_s=failure.retry_after_s, remaining_s=remaining_s, draw=self._draw()
        )
        return None if wait_s is None else wait_s + WAKE_MARGIN_S

    def _remaining_s(self, call: Call) -> float:
        return call.deadline - monotonic()


def _passage(call: Call) -> Passage:
    assert call.passage is not None, "an attempt begins with its place at the channel"
    return call.passage


def _unsaid(call: Call, index: int) -> FallbackReason | None:
    """Why the request cannot be put to a candidate, None where it can.

    This is asked before a place at the channel is taken: what is never sent uses up none of its limits, and says nothing of
    its health.
    """
    failure = unsaid(call, index)
    return None if failure is None else failure.error_class


async def _made(make: Callable[[Call, Running], Awaitable[T]], call: Call, running: Running) -> T:
    """What `make` answers. Whatever unforeseen breaks in it is one failed attempt: the next candidate may do better."""
    try:
        return await make(call, running)
    except (UpstreamError, LogUnavailableError, LedgerUnavailableError):
        raise
    except Exception as exc:
        log.exception("attempt_broke", request_id=str(call.context.request_id), channel=running.place.channel.id)
        raise UpstreamError("internal", "next", sent=True) from exc
