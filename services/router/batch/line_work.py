"""One line of a batch, from its hold to its result. The money is any request's; what differs is who may call, and the file.

hold (id follows from the line) → claim (once, by compare-and-set) → upstream → result (an object that is made once) → records
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from time import monotonic
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import structlog

from schemas.calls import CallContext, ClaimResult, HoldClaim, HoldProgress
from schemas.envelope import now
from schemas.files import line_path
from services.router import metrics
from services.router.answers import Answer, failure_answer, refusal_answer
from services.router.batch import records as line_records
from services.router.batch.callers import Callers
from services.router.batch.identities import hold_ids, request_id
from services.router.batch.job import Job
from services.router.batch.lines import Line
from services.router.batch.object_store import Objects
from services.router.batch.results import LOST, UNCLAIMED, Ended, Result, packed, result_of, unpacked
from services.router.call import Call
from services.router.calling import Calling
from services.router.clients.client_api import ClientApi
from services.router.errors import (
    KeysUnavailableError,
    LedgerUnavailableError,
    LineWaitsError,
    LogUnavailableError,
    RefusalError,
    SettledTwiceError,
    StorageUnavailableError,
    UpstreamError,
)
from services.router.events import Record
from services.router.plain import PlainDelivery, fail
from services.router.publisher import Publisher
from services.router.settling import Settler
from services.router.tightening import MONEY_CODES

FROZEN = frozenset({"key_frozen", "project_frozen", "account_frozen"})
LATER = frozenset({"upstream_unavailable", "channel_frozen", "rate_limited", "log_unavailable", "ledger_unavailable"})
"""Refusals under no hold's id, which a moment lifts, or an operator."""
UNPAID = MONEY_CODES | {"run_closed"}
STORE_TRIES = 8
STORE_PAUSE_S = 2.0

log = structlog.get_logger(__name__)


class Task(NamedTuple):
    """A line to work on: the first time (repeat 0) or again, under other ids. `late`: its hold may be from some time ago."""

    number: int
    repeat: int
    line: Line
    earlier: Sequence[UUID]
    late: bool


class Unsure(NamedTuple):
    """The end of a line is not known yet: the hold, or the result that is stored already, will tell."""

    hold_id: UUID | None


class Withheld:
    """Takes the records of a request's end and keeps them until its result is stored."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    async def put_and_wait(self, account_id: str, records: list[Record]) -> None:
        """Keep them."""
        self.records += records


class LineWork:
    """Works on lines: :meth:`work` begins one, :meth:`look` asks what became of one that it was unsure of."""

    def __init__(
        self,
        calling: Calling,
        apis: Mapping[str, ClientApi],
        *,
        callers: Callers,
        claim: Callable[[HoldClaim], Awaitable[ClaimResult]],
        objects: Objects,
        refusals: Publisher,
        deadline_s: float,
    ) -> None:
        self._calling = calling
        self._apis = apis
        self._callers = callers
        self._claim = claim
        self._objects = objects
        self._refusals = refusals
        self._deadline_s = deadline_s

    async def work(self, job: Job, task: Task) -> Ended | Unsure:
        """The end of a line, or :class:`Unsure`: then never begin it again, but look.

        Raises :class:`LineWaitsError` where it cannot be begun now, :class:`BatchStopsError` where none may be any more.
        """
        if (found := await self._stored(job, task)) is not None:
            return await self._tell(job, task, found)
        try:
            caller = await self._callers.now(job.data.key.key_id, job.event.run_id)
        except KeysUnavailableError as exc:
            raise LineWaitsError(str(exc)) from exc
        context = line_records.context_of(job.event, caller, task.number, request_id(job.batch_id, task.number, task.repeat))
        try:
            call = await self._fund(job, context, task)
        except RefusalError as refusal:
            return await self._refused(job, task, context, refusal)
        try:
            return await self._claimed(job, task, call)
        finally:
            self._calling.funding.release(call)

    async def look(self, job: Job, task: Task, unsure: Unsure) -> Ended | Unsure:
        """What is known by now of a line that was begun, here or elsewhere. It is never called again under its ids."""
        if (found := await self._stored(job, task)) is not None:
            return await self._tell(job, task, found)
        if unsure.hold_id is None:
            raise LineWaitsError("the refusal was not stored")
        claim = await self._claims(job, unsure.hold_id)
        if claim.state == "HELD":
            return unsure
        return await self._ended_elsewhere(job, task, claim)

    async def fault(self, job: Job, task: Task) -> Ended | Unsure:
        """The end of a line at which this program itself failed: an error, so that the batch goes on."""
        request = request_id(job.batch_id, task.number, task.repeat)
        answer = failure_answer(UpstreamError("internal", "next"), [])
        return await self._store(job, task, result_of(task.line.custom_id, request, answer, [], task.earlier), Unsure(None))

    async def _fund(self, job: Job, context: CallContext, task: Task) -> Call:
        """The line's call, paid for. A refusal for money is final once nothing of this batch may come back."""
        api = self._apis[job.data.endpoint]
        body = orjson.dumps(task.line.body)
        ids = hold_ids(context.request_id)
        while True:
            call = self._calling.planner.plan(context, api.parse(body), api, begun=monotonic(), deadline_s=self._deadline_s)
            call.mint_hold_id = ids
            try:
                await self._calling.funding.secure(call, self._deadline_s)
            except LedgerUnavailableError as exc:
                raise LineWaitsError(str(exc)) from exc
            except RefusalError as refusal:
                if refusal.code not in MONEY_CODES or not (job.working and await job.money_may_come_back()):
                    raise
            else:
                return call

    async def _claimed(self, job: Job, task: Task, call: Call) -> Ended | Unsure:
        hold_id = call.grants[0].hold_id
        claim = await self._claims(job, hold_id)
        if claim.claimant == job.claimant and claim.state == "HELD":
            if task.late:
                await self._renew(call)
            return await self._call(job, task, call)
        if claim.state == "HELD":
            return Unsure(hold_id)
        return await self._ended_elsewhere(job, task, claim)

    async def _claims(self, job: Job, hold_id: UUID) -> ClaimResult:
        try:
            return await self._claim(HoldClaim(hold_id=hold_id, claimant=job.claimant))
        except LedgerUnavailableError as exc:
            raise LineWaitsError(str(exc)) from exc

    async def _ended_elsewhere(self, job: Job, task: Task, claim: ClaimResult) -> Ended | Unsure:
        """The hold ended under another claim, or before anybody claimed it: a result was stored before that, or never."""
        if (found := await self._stored(job, task)) is not None:
            return await self._tell(job, task, found)
        request = request_id(job.batch_id, task.number, task.repeat)
        return Ended(task.number, task.repeat, request, "lost", UNCLAIMED if claim.claimant is None else LOST)

    async def _renew(self, call: Call) -> None:
        """Let the line's holds live as long as the call that begins now."""
        until = now() + timedelta(seconds=self._deadline_s)
        holds = [HoldProgress(hold_id=each.hold_id, deadline_at=until, input_tokens=0, output_tokens=0) for each in call.grants]
        try:
            await self._calling.ledger.report_progress(holds)
        except LedgerUnavailableError as exc:
            raise LineWaitsError(str(exc)) from exc

    async def _call(self, job: Job, task: Task, call: Call) -> Ended | Unsure:
        withheld = Withheld()
        unsure = Unsure(call.grants[0].hold_id)
        job.begin_call()
        try:
            answer = await self._answer(call, Settler(withheld))
        finally:
            job.end_call()
        if answer is None:
            return unsure
        result = result_of(task.line.custom_id, call.context.request_id, answer, withheld.records, task.earlier)
        return await self._store(job, task, result, unsure)

    async def _answer(self, call: Call, settler: Settler) -> Answer | None:
        """The reply; None where nothing is known of its end, so that the hold has to decide."""
        try:
            return await PlainDelivery(self._calling.attempts, self._calling.upstream, settler).answer(call, _never_gone)
        except LogUnavailableError as exc:
            log.warning("log_unavailable", request_id=str(call.context.request_id), reason=str(exc))
            return None
        except Exception:
            log.exception("line_failed", request_id=str(call.context.request_id))
            try:
                return await fail(call, settler, UpstreamError("internal", "next"))
            except SettledTwiceError:
                return None

    async def _store(self, job: Job, task: Task, result: Result, unsure: Unsure) -> Ended | Unsure:
        """Make the result's object, then let its records out: those of the object that is there."""
        path = line_path(job.batch_id, task.number, task.repeat)
        for attempt in range(STORE_TRIES):
            try:
                if not await self._objects.create(path, packed(result)):
                    found = await self._objects.find(path)
                    result = result if found is None else unpacked(found)
            except StorageUnavailableError as exc:
                log.warning("result_not_stored", batch_id=job.batch_id, line=task.number, attempt=attempt, reason=str(exc))
                await asyncio.sleep(STORE_PAUSE_S)
            else:
                return await self._tell(job, task, result)
        return unsure

    async def _stored(self, job: Job, task: Task) -> Result | None:
        try:
            found = await self._objects.find(line_path(job.batch_id, task.number, task.repeat))
        except StorageUnavailableError as exc:
            raise LineWaitsError(str(exc)) from exc
        return None if found is None else unpacked(found)

    async def _tell(self, job: Job, task: Task, result: Result) -> Ended | Unsure:
        """Publish the result's records, the first time or again under the same ids; the line ends when they are safe."""
        request = request_id(job.batch_id, task.number, task.repeat)
        if result.records:
            refused = result.records[0].type == "RequestRejected"
            publisher = self._refusals if refused else self._calling.publisher
            try:
                await publisher.put_and_wait(job.event.account_id, result.records)
            except LogUnavailableError as exc:
                log.warning("log_unavailable", request_id=str(request), reason=str(exc))
                return Unsure(None)
        metrics.BATCH_LINES.labels(outcome=result.outcome).inc()
        return Ended(task.number, task.repeat, request, result.outcome, result.code)

    async def _refused(self, job: Job, task: Task, context: CallContext, refusal: RefusalError) -> Ended | Unsure:
        if refusal.code in LATER:
            raise LineWaitsError(refusal.message)
        if refusal.code in FROZEN:
            job.stop(refusal.code, refusal.message)
            raise LineWaitsError(refusal.message)
        metrics.REFUSALS.labels(code=refusal.code).inc()
        answer = refusal_answer(refusal, str(context.request_id))
        records = [line_records.rejected(context, job.data.endpoint, task.line.body["model"], refusal)]
        result = result_of(task.line.custom_id, context.request_id, answer, records, task.earlier)
        ended = await self._store(job, task, result, Unsure(None))
        if refusal.code in UNPAID and job.data.on_refusal == "stop":
            job.stop(refusal.code, refusal.message)
        return ended


async def _never_gone() -> Any:
    """A client that waits: nobody disconnects from a batch."""
    await asyncio.get_running_loop().create_future()
