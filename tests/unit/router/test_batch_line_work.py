"""Who may call for a line, and what is done with a result that is there already: with object storage in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import orjson
import pytest

from schemas.batches import BatchAccepted, BatchAcceptedData, LineCaller
from schemas.calls import ClaimResult, HoldClaim, Policy
from schemas.envelope import new_id, now
from schemas.files import line_path
from schemas.requests import KeyRef
from services.router.answers import JSON, Answer
from services.router.batch.identities import request_id
from services.router.batch.job import Job
from services.router.batch.line_work import LineWork, Task, Unsure
from services.router.batch.lines import Line
from services.router.batch.object_store import Objects
from services.router.batch.results import packed, result_of, unpacked
from services.router.errors import LineWaitsError, LogUnavailableError, RefusalError
from services.router.events import Record

ENDPOINT = "/v1/chat/completions"
KEY = KeyRef(project_id="prj_1", key_id="abcdefghijkl", key_name="bot")
TASK = Task(1, 0, Line("one", {"model": "gpt-4o", "messages": []}), (), late=False)


class Log:
    """Takes records, or refuses them."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.away = False

    async def put_and_wait(self, _account_id: str, records: list[Record]) -> None:
        """Keep them."""
        if self.away:
            raise LogUnavailableError("away")
        self.records += records


class Money:
    """Grants every hold, or refuses it; never lets anybody call."""

    def __init__(self) -> None:
        self.refusal: RefusalError | None = None
        self.hold_ids: list[UUID] = []

    async def secure(self, call: Any, _remaining_s: float) -> None:
        """The first hold."""
        self.hold_ids.append(call.mint_hold_id())
        if self.refusal is not None:
            raise self.refusal
        call.grants.append(SimpleNamespace(hold_id=self.hold_ids[-1]))

    def release(self, call: Any) -> None:
        """The call is over."""


def _job(**fields: Any) -> Job:
    data = BatchAcceptedData(
        key=KEY,
        batch_id="batch_" + new_id().hex,
        input_file_id="file-" + new_id().hex,
        endpoint=ENDPOINT,
        expires_at=now() + timedelta(hours=1),
        **fields,
    )
    return Job(BatchAccepted(account_id="acc_1", data=data), worker="w", epoch=1, stopped=None, clock=lambda: 1000.0)


class Bench:
    """A worker's parts around one line. Any upstream call is an AttributeError: there is nothing to call with."""

    def __init__(self, claim: Callable[[HoldClaim], Awaitable[ClaimResult]]) -> None:
        self.log, self.refusals, self.money = Log(), Log(), Money()
        self.objects = Objects("memory:///")
        planner = SimpleNamespace(plan=lambda context, *_args, **_more: SimpleNamespace(grants=[], context=context))
        calling: Any = SimpleNamespace(planner=planner, funding=self.money, publisher=self.log)
        callers: Any = SimpleNamespace(now=self._caller)
        apis: Any = {ENDPOINT: SimpleNamespace(parse=lambda body: body)}
        refusals: Any = self.refusals
        self.work = LineWork(
            calling, apis, callers=callers, claim=claim, objects=self.objects, refusals=refusals, deadline_s=60
        )

    @staticmethod
    async def _caller(_key_id: str, _run_id: str | None) -> LineCaller:
        return LineCaller(account_id="acc_1", key=KEY, environment="default", policy=Policy())

    async def stored(self, job: Job) -> Any:
        """The line's result in the store."""
        found = await self.objects.find(line_path(job.batch_id, 1, 0))
        return None if found is None else unpacked(found)


def _claimed(state: Any, claimant: str | None) -> Callable[[HoldClaim], Awaitable[ClaimResult]]:
    async def claim(asked: HoldClaim) -> ClaimResult:
        return ClaimResult(hold_id=asked.hold_id, state=state, claimant=claimant)

    return claim


async def test_a_result_that_is_there_is_told_again_in_its_own_words_and_nothing_else_is_asked() -> None:
    job, bench = _job(), Bench(_claimed("HELD", "other/1"))
    records = [Record("AttemptFinished", new_id(), b"{}"), Record("RequestCompleted", new_id(), b"{}")]
    result = result_of("one", request_id(job.batch_id, 1, 0), Answer(200, [JSON], b"{}"), records, [])
    await bench.objects.create(line_path(job.batch_id, 1, 0), packed(result))
    ended = await bench.work.work(job, TASK)
    assert not isinstance(ended, Unsure)
    assert (ended.outcome, bench.log.records, bench.money.hold_ids) == ("completed", records, [])


async def test_a_result_whose_record_is_not_safe_does_not_end_its_line() -> None:
    job, bench = _job(), Bench(_claimed("HELD", "other/1"))
    records = [Record("RequestCompleted", new_id(), b"{}")]
    result = result_of("one", request_id(job.batch_id, 1, 0), Answer(200, [JSON], b"{}"), records, [])
    await bench.objects.create(line_path(job.batch_id, 1, 0), packed(result))
    bench.log.away = True
    unsure = await bench.work.work(job, TASK)
    assert isinstance(unsure, Unsure)
    bench.log.away = False
    ended = await bench.work.look(job, TASK, unsure)
    assert not isinstance(ended, Unsure)
    assert bench.log.records == records


async def test_a_line_that_another_has_claimed_is_not_called_and_is_lost_when_its_hold_ends_without_a_result() -> None:
    job, bench = _job(), Bench(_claimed("HELD", "other/1"))
    unsure = await bench.work.work(job, TASK)
    assert isinstance(unsure, Unsure)
    assert await bench.work.look(job, TASK, unsure) == unsure
    later = Bench(_claimed("EXPIRED", "other/1"))
    ended = await later.work.look(job, TASK, unsure)
    assert not isinstance(ended, Unsure)
    assert (ended.outcome, ended.code) == ("lost", "claim_lost")


async def test_a_hold_that_ended_before_anybody_called_says_so() -> None:
    job, bench = _job(), Bench(_claimed("EXPIRED", None))
    ended = await bench.work.work(job, TASK)
    assert not isinstance(ended, Unsure)
    assert (ended.outcome, ended.code) == ("lost", "hold_expired")


async def test_a_refused_line_is_an_error_with_a_record_and_stops_the_batch_where_that_is_wanted() -> None:
    job, bench = _job(on_refusal="stop"), Bench(_claimed("HELD", None))
    bench.money.refusal = RefusalError(402, "budget_exceeded", "The run has nothing left.", facts={"left": "0"})
    ended = await bench.work.work(job, TASK)
    assert not isinstance(ended, Unsure)
    assert (ended.outcome, ended.code, job.stopped) == ("failed", "budget_exceeded", "failed")
    assert [record.type for record in bench.refusals.records] == ["RequestRejected"]
    entry = orjson.loads((await bench.stored(job)).entry)
    assert (entry["response"]["status_code"], entry["response"]["body"]["error"]["left"]) == (402, "0")


@pytest.mark.parametrize(
    ("code", "stopped"),
    [("ledger_unavailable", None), ("rate_limited", None), ("channel_frozen", None), ("key_frozen", "failed")],
)
async def test_a_refusal_that_a_moment_lifts_keeps_the_line_and_a_freeze_stops_the_batch(
    code: str, stopped: str | None
) -> None:
    job, bench = _job(), Bench(_claimed("HELD", None))
    bench.money.refusal = RefusalError(503, code, "Not now.")
    with pytest.raises(LineWaitsError):
        await bench.work.work(job, TASK)
    assert (job.stopped, await bench.stored(job), bench.refusals.records) == (stopped, None, [])


async def test_a_line_asked_for_again_asks_for_the_same_holds() -> None:
    job = _job()
    asked = []
    for _ in range(2):
        bench = Bench(_claimed("HELD", "other/1"))
        await bench.work.work(job, TASK)
        asked.append(bench.money.hold_ids)
    assert asked[0] == asked[1]
