"""The money of a request: the first hold, and a second one where the plan crosses into another bucket."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from schemas.calls import HoldGranted, HoldRefusal, HoldRequest
from schemas.envelope import now
from schemas.money import format_amount
from services.router import metrics
from services.router.buckets import Buckets
from services.router.call import Call
from services.router.errors import LedgerUnavailableError, RefusalError
from services.router.holds import HoldCoalescer
from services.router.plan import nothing_usable
from services.router.progress import ProgressReporter
from services.router.stream_progress import StreamProgress
from services.router.tightening import MONEY_CODES, Tightener
from services.router.translation import told

PASSING_S = 3
"""When to ask again where nothing but other requests' holds is in the way: most of them end within seconds."""


class Funding:
    """Asks settlement for what a plan may cost. Nothing goes upstream before this has returned."""

    def __init__(self, holds: HoldCoalescer, buckets: Buckets, reporter: ProgressReporter, tightener: Tightener) -> None:
        self._holds = holds
        self._tightener = tightener
        self._reporter = reporter
        self._buckets = buckets

    async def secure(self, call: Call, remaining_s: float) -> None:
        """The first hold, over the usable candidates. Raises :class:`RefusalError`.

        Candidates of another bucket than the plan's first are only asked for with permission; with it, a refusal for money
        moves on to the next bucket. Nothing is held for a candidate that is known to have no word for a part of the request.
        """
        of_bucket: Sequence[int] = range(len(call.plan.places))
        if not call.context.policy.cross_bucket:
            primary = call.plan.places[0].channel.route_type
            of_bucket = [i for i in of_bucket if self._buckets.same(primary, call.plan.places[i].channel.route_type)]
        indexes = [i for i in of_bucket if call.plan.skips[i] is None]
        if not indexes:
            raise nothing_usable(call.plan, of_bucket)
        indexes = told(call, indexes, (i for i in of_bucket if call.plan.skips[i] is not None))
        await self._tightener.fit(call)
        refusal = await self._ask(call, indexes, remaining_s)
        while refusal is not None:
            first = call.plan.places[indexes[0]].channel.route_type
            others = [i for i in indexes if not self._buckets.same(first, call.plan.places[i].channel.route_type)]
            if refusal.code not in MONEY_CODES or not others:
                raise refusal_of(refusal)
            call.unpayable.update(set(indexes) - set(others))
            indexes = others
            refusal = await self._ask(call, indexes, remaining_s)

    def release(self, call: Call) -> None:
        """The call is over: its channel's place is free, and its holds need no more signs of life."""
        call.over()
        for progress in call.progress.values():
            self._reporter.close(progress)

    async def cross(self, call: Call, index: int, remaining_s: float) -> bool:
        """Whether a candidate that no hold covers is paid now, by a second hold over it and what comes after it."""
        if not call.context.policy.cross_bucket:
            return False
        rest = [i for i in range(index, len(call.plan.places)) if i not in call.covers and i not in call.unpayable]
        try:
            refusal = await self._ask(call, rest, remaining_s)
        except LedgerUnavailableError:
            return False
        if refusal is not None:
            call.unpayable.add(index)
        return index in call.covers

    async def _ask(self, call: Call, indexes: list[int], remaining_s: float) -> HoldRefusal | None:
        lease = self._reporter.lease if call.ask.stream else timedelta(seconds=remaining_s)
        request = _request(call, indexes, lease)
        result = await self._holds.hold(request)
        if isinstance(result, HoldRefusal):
            metrics.HOLDS_ASKED.labels(result="refused").inc()
            if result.bucket is not None:
                self._buckets.learn(call.plan.places[indexes[0]].channel.route_type, result.bucket)
            if await self._tightener.helps(call, result):
                return await self._ask(call, indexes, remaining_s)
            return result
        self._learn(call, indexes, result)
        call.granted(indexes, result)
        if call.ask.stream:
            # A stream's hold lives by its signs of life, from now until its record is written.
            progress = call.progress[result.hold_id] = StreamProgress(result.hold_id)
            self._reporter.open(progress)
        return None

    def _learn(self, call: Call, indexes: list[int], grant: HoldGranted) -> None:
        for index, covered in zip(indexes, grant.covered, strict=True):
            if covered:
                self._buckets.learn(call.plan.places[index].channel.route_type, grant.bucket)


def refusal_of(refusal: HoldRefusal) -> RefusalError:
    """Settlement's refusal as the client sees it, with the seconds until a clock lifts it, or the end of other requests may."""
    retry_after_s = None
    if refusal.passing:
        retry_after_s = PASSING_S
    elif refusal.resets_at is not None:
        retry_after_s = max(1, int((refusal.resets_at - now()).total_seconds()) + 1)
    elif refusal.http_status == 503:
        retry_after_s = 5
    return RefusalError(
        refusal.http_status, refusal.code, refusal.message, retry_after_s=retry_after_s, facts=facts_of(refusal)
    )


def facts_of(refusal: HoldRefusal) -> dict[str, Any]:
    """What a program needs of a refusal beside its code: the envelope, and decimal texts of what was needed, left and held."""
    amounts = {"needed": refusal.needed_nano, "left": refusal.left_nano, "held": refusal.held_nano}
    facts: dict[str, Any] = {name: format_amount(nano) for name, nano in amounts.items() if nano is not None}
    if facts and refusal.currency is not None:
        facts["currency"] = refusal.currency
    if refusal.envelope is not None:
        facts["envelope"] = refusal.envelope.model_dump()
    if refusal.resets_at is not None:
        facts["resets_at"] = refusal.resets_at.isoformat().replace("+00:00", "Z")
    return facts


def _request(call: Call, indexes: list[int], lease: timedelta) -> HoldRequest:
    context, ask = call.context, call.ask
    return HoldRequest(
        hold_id=call.mint_hold_id(),
        request_id=context.request_id,
        account_id=context.account_id,
        key=context.key,
        environment=context.environment,
        tags=context.tags,
        run_id=context.run_id,
        candidates=[call.plan.places[index].hold_candidate for index in indexes],
        input_tokens_bound=call.tokens_bound,
        max_output_tokens=ask.cap,
        model_max_output_tokens=call.plan.model.max_output_tokens,
        choices=ask.choices,
        attempts=call.plan.max_attempts if context.policy.charge_failed else 1,
        requested_model=ask.model,
        client_api=ask.client_api,
        deadline_at=now() + lease,
    )
