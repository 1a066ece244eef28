"""One request under way: what is known of it, and the record that it becomes. Sync."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from schemas.attempts import AfterDisconnect, ErrorClass, FallbackReason, Outcome, UsageSource
from schemas.calls import CallContext, HoldGranted
from schemas.envelope import new_id, now
from schemas.money import Prices, Usage, charge_nano
from services.router.affinity import Trace
from services.router.ask import Ask
from services.router.catalog import Place
from services.router.clients.chat import ChatCompletions
from services.router.clients.client_api import ClientApi
from services.router.documents import AttemptDocument, FallbackDocument, tokens_of, usage_fields
from services.router.errors import SettledTwiceError, UpstreamError
from services.router.events import Ending, EventWriter
from services.router.health import Passage
from services.router.operator_cost import operator_cost_nano
from services.router.plan import Plan
from services.router.stream_progress import StreamProgress

CHAT: ClientApi = ChatCompletions()


class Cover(NamedTuple):
    """The hold that pays for a candidate, and the candidate's prices under it."""

    grant: HoldGranted
    prices: Prices


class Running(NamedTuple):
    """An upstream call under way. `begun` is on the loop's clock, in seconds; `key` is the index of the channel's key."""

    number: int
    position: int
    place: Place
    key: int
    cover: Cover
    started_at: datetime
    begun: float


class Charge(NamedTuple):
    """What the customer pays: the attempt, its bucket and the amount. `overrun`: more than the hold was for.

    `also` are failed attempts that are part of the amount, by policy.
    """

    attempt: int
    bucket: str
    currency: str
    cost_nano: int
    overrun: bool
    also: tuple[int, ...] = ()


class Burned(NamedTuple):
    """A failed attempt that the customer pays for, by policy: its hold, and its price."""

    attempt: int
    grant: HoldGranted
    cost_nano: int


class Outgoing(NamedTuple):
    """How a request ends, as its record says."""

    outcome: Outcome
    http_status: int
    error_class: ErrorClass | None = None
    charge: Charge | None = None
    ttft_ms: float | None = None


class Call:
    """A request from its plan to its record. Times on the loop's clock, in seconds."""

    __slots__ = (
        "api", "ask", "attempts", "begun", "burned", "context", "covers", "deadline", "expected_tokens", "fallbacks", "grants",
        "left", "mint_hold_id", "passage", "plan", "progress", "said", "settled", "tightened", "tokens_bound", "trace",
        "unpayable", "unsaid", "upstream_ms", "writer",
    )  # fmt: skip

    def __init__(
        self, context: CallContext, ask: Ask, plan: Plan, *, begun: float, deadline_s: float, api: ClientApi = CHAT
    ) -> None:
        self.api = api
        self.context = context
        self.ask = ask
        self.plan = plan
        self.begun = begun
        self.deadline = begun + deadline_s
        self.tokens_bound = ask.tokens_bound(plan.model)
        self.tightened = False
        self.writer = EventWriter(context, ask.model, ask.client_api)
        self.grants: list[HoldGranted] = []
        self.covers: dict[int, Cover] = {}
        self.attempts: list[AttemptDocument] = []
        self.burned: list[Burned] = []
        self.fallbacks: list[FallbackDocument] = []
        self.unpayable: set[int] = set()
        self.unsaid: dict[int, UpstreamError] = {}
        self.said: tuple[int, int, bytes] | None = None
        self.progress: dict[UUID, StreamProgress] = {}
        self.left: tuple[int, int | None, FallbackReason] | None = None
        self.upstream_ms = 0.0
        self.mint_hold_id: Callable[[], UUID] = new_id
        self.settled = False
        self.expected_tokens = 0
        self.trace: Trace | None = None
        self.passage: Passage | None = None

    def granted(self, indexes: list[int], grant: HoldGranted) -> None:
        """The hold for these candidates was granted."""
        self.grants.append(grant)
        for index, prices in zip(indexes, grant.prices, strict=True):
            if prices is not None:
                self.covers[index] = Cover(grant, prices)

    def leave(self, index: int, attempt: int | None, reason: FallbackReason) -> None:
        """The plan is about to move on from a candidate; :meth:`arrive` records where to."""
        self.left = (index, attempt, reason)

    def arrive(self, index: int, attempt: int | None, *, crossed_bucket: bool) -> FallbackDocument | None:
        """The plan has reached a candidate. The move that led there, None where it began there or asks it again."""
        if self.left is None:
            return None
        from_index, from_attempt, reason = self.left
        self.left = None
        if from_index == index:
            return None
        fallback: FallbackDocument = {
            "from_channel": self.plan.places[from_index].channel.id,
            "to_channel": self.plan.places[index].channel.id,
            "from_attempt": from_attempt,
            "to_attempt": attempt,
            "reason": reason,
            "crossed_bucket": crossed_bucket,
        }
        self.fallbacks.append(fallback)
        return fallback

    def begin(self, index: int, key: int, at: float) -> Running:
        """An upstream call begins."""
        place = self.plan.places[index]
        return Running(len(self.attempts) + 1, index, place, key, self.covers[index], now(), at)

    def failed(self, running: Running, failure: UpstreamError, at: float) -> AttemptDocument:
        """The upstream call failed; what it burned is written down, and charged to nobody unless a policy says so."""
        if failure.usage is not None and self.context.policy.charge_failed:
            cost_nano = charge_nano(running.cover.prices, failure.usage)
            self.burned.append(Burned(running.number, running.cover.grant, cost_nano))
        source: UsageSource = "none" if failure.usage is None else "reported"
        cancelled = failure.error_class == "client_gone"
        return self.finished(
            running,
            failure.usage,
            source,
            at,
            outcome="cancelled" if cancelled else "failed",
            error_class=failure.error_class,
            http_status=failure.status,
            upstream_id=failure.upstream_id,
            sent=failure.sent,
            after_disconnect=failure.after_disconnect,
        )

    def finished(
        self,
        running: Running,
        usage: Usage | None,
        source: UsageSource,
        at: float,
        *,
        outcome: Outcome = "succeeded",
        error_class: ErrorClass | None = None,
        http_status: int | None = 200,
        ttft_ms: float | None = None,
        upstream_id: str | None = None,
        sent: bool = True,
        after_disconnect: AfterDisconnect | None = None,
        capped: bool = False,
    ) -> AttemptDocument:
        """The upstream call is over: answered to its end, or (with another outcome) to where it broke.

        `sent`: the provider may have done work, so that what it may bill is written down where it did not report it.
        `capped`: it was cut since the provider ignored its cap.
        """
        latency_ms = (at - running.begun) * 1000
        self.upstream_ms += latency_ms
        cost = self._operator_cost(running, usage)
        exposure = self.most_usage(running, capped=capped) if sent and source != "reported" else None
        exposed = self._operator_cost(running, exposure)
        attempt: AttemptDocument = {
            "attempt": running.number,
            **running.place.candidate,
            "hold_id": running.cover.grant.hold_id,
            "started_at": running.started_at,
            "outcome": outcome,
            "error_class": error_class,
            "http_status": http_status,
            "latency_ms": round(latency_ms, 3),
            "ttft_ms": ttft_ms,
            "usage": usage_fields(usage),
            "usage_source": source,
            "operator_cost_nano": cost,
            "operator_cost_currency": None if cost is None and exposed is None else running.cover.grant.currency,
            "upstream_id": upstream_id,
            "exposure": None if exposure is None else usage_fields(exposure),
            "operator_exposure_nano": exposed,
            "after_disconnect": after_disconnect,
        }
        self.attempts.append(attempt)
        return attempt

    @property
    def most_output(self) -> int:
        """The most tokens of a choice that a hold may allow."""
        most = self.plan.model.max_output_tokens
        return most if self.ask.cap is None else min(self.ask.cap, most)

    def most_usage(self, running: Running, *, capped: bool = False) -> Usage:
        """The most tokens that an attempt can be billed for: what its hold was for, or all that the model can put out where
        its provider ignored the cap."""
        each = running.cover.grant.output_cap
        if capped:
            each = max(each, self.plan.model.max_output_tokens)
        return Usage(input_tokens=self.tokens_bound, output_tokens=each * self.ask.choices)

    def charge(self, running: Running, usage: Usage) -> Charge:
        """What the customer pays for an attempt, at the prices that its hold was stamped with."""
        grant = running.cover.grant
        beside = [each for each in self.burned if each.grant is grant and each.attempt != running.number]
        cost_nano = charge_nano(running.cover.prices, usage) + sum(each.cost_nano for each in beside)
        also = tuple(each.attempt for each in beside)
        return Charge(running.number, grant.bucket, grant.currency, cost_nano, cost_nano > grant.amount_nano, also)

    def charge_burned(self) -> Charge | None:
        """What the customer pays for a request that nobody answered: nothing, unless a policy charges what was burned."""
        if not self.burned:
            return None
        last = self.burned[-1]
        under = [each for each in self.burned if each.grant is last.grant]
        cost_nano = sum(each.cost_nano for each in under)
        grant, also = last.grant, tuple(each.attempt for each in under[:-1])
        return Charge(last.attempt, grant.bucket, grant.currency, cost_nano, cost_nano > grant.amount_nano, also)

    def over(self) -> None:
        """The call is over: its last attempt's place at the channel is free, and how it ended is known."""
        passage, self.passage = self.passage, None
        if passage is None:
            return
        attempt = self.attempts[-1] if self.attempts else None
        if attempt is None or attempt["attempt"] != passage.attempt:
            passage.failed("internal")
            return
        if attempt["usage_source"] != "none":
            passage.used(tokens_of(attempt["usage"]))
        if attempt["error_class"] is None:
            passage.succeeded()
        else:
            passage.failed(attempt["error_class"])

    def settle_once(self) -> None:
        """The request's one record is about to be written. Raises :class:`SettledTwiceError` where that has been before.

        It stays so where the log did not take the record, because it may have taken it nevertheless.
        """
        if self.settled:
            raise SettledTwiceError(f"request {self.context.request_id} has its record already")
        self.settled = True

    def ending(self, out: Outgoing, at: float) -> Ending:
        """The record's fields that are known only now."""
        latency_ms = (at - self.begun) * 1000
        charge = out.charge
        hold_ids: list[UUID] = [grant.hold_id for grant in self.grants]
        return {
            "stream": self.ask.stream,
            "outcome": out.outcome,
            "http_status": out.http_status,
            "error_class": out.error_class,
            "plan": [place.candidate for place in self.plan.places],
            "attempts": self.attempts,
            "fallbacks": self.fallbacks,
            "hold_ids": hold_ids,
            "charged_attempt": None if charge is None else charge.attempt,
            "also_charged": [] if charge is None else list(charge.also),
            "bucket": None if charge is None else charge.bucket,
            "currency": None if charge is None else charge.currency,
            "cost_nano": None if charge is None else charge.cost_nano,
            "latency_ms": round(latency_ms, 3),
            "ttft_ms": out.ttft_ms,
            "overhead_ms": self.overhead_ms(at),
            "table_version": self.plan.table_version,
        }

    def overhead_ms(self, at: float) -> float:
        """Milliseconds of the request that were not spent in upstream calls."""
        return round(max(0.0, (at - self.begun) * 1000 - self.upstream_ms), 3)

    @staticmethod
    def _operator_cost(running: Running, usage: Usage | None) -> int | None:
        factor = running.place.channel.factor
        if factor is None or usage is None:
            return None
        return operator_cost_nano(charge_nano(running.cover.prices, usage), factor)
