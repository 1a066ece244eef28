"""Whatever nobody foresaw: the next candidate is asked, a stream that began is settled, an operator gets a document."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import httpx
import pytest

from services.router.admin import AdminDesk, build_admin
from services.router.attempts import AttemptLoop, AttemptRules
from services.router.backoff import Backoff
from services.router.breaker import BreakerLimits
from services.router.buckets import Buckets
from services.router.call import Call, Running
from services.router.dialects.openai_stream import ChatStream
from services.router.entity_admin import EntityDesk
from services.router.errors import UpstreamError
from services.router.events import Record
from services.router.funding import Funding
from services.router.guard import Guard
from services.router.health import Health
from services.router.ledger import Ledger
from services.router.open_stream import OpenStream
from services.router.progress import ProgressReporter
from services.router.publisher import Publisher
from services.router.settling import Settler
from services.router.stream_progress import StreamProgress
from services.router.streaming import StreamDelivery
from services.router.upstream import Upstream, UpstreamTimes
from tests.unit.router.things import HOLD_ID, ask, call, catalog, channel, model

CHUNK = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'


class Log:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def put(self, _: str, records: list[Record]) -> None:
        self.records += records

    async def put_and_wait(self, _: str, records: list[Record]) -> None:
        self.records += records

    @property
    def types(self) -> list[str]:
        return [record.type for record in self.records]


def loop_of(log: Log) -> AttemptLoop:
    health = Health(BreakerLimits(consecutive=5, open_s=10), lambda: 0.0)
    rules = AttemptRules(2, Backoff())
    publisher = cast(Publisher, log)
    return AttemptLoop(cast(Funding, None), health, publisher, Buckets(), rules=rules, draw=lambda: 0.5)


def fresh(of: Any, **more: Any) -> Call:
    made = call(of, ask(**more))
    made.deadline = float("inf")
    return made


async def test_an_unforeseen_error_is_one_failed_attempt_and_the_next_candidate_is_asked() -> None:
    log = Log()
    request = fresh(catalog([channel("a"), channel("b")], [model("gpt-4o", "a", "b")]))

    async def make(_: Call, running: Running) -> str:
        if running.place.channel.id == "a":
            raise OverflowError("nobody thought of it")
        return "answer"

    answer, running = await loop_of(log).run(request, make, lambda: False)
    assert (answer, running.place.channel.id) == ("answer", "b")
    assert [attempt["error_class"] for attempt in request.attempts] == ["internal"]
    assert log.types == ["AttemptStarted", "AttemptFinished", "FallbackTaken", "AttemptStarted"]


async def test_without_another_candidate_an_unforeseen_error_ends_the_request_as_internal() -> None:
    async def make(_: Call, running: Running) -> str:
        raise TypeError(running.number)

    request = fresh(catalog([channel("a")], [model("gpt-4o", "a")]))
    with pytest.raises(UpstreamError) as caught:
        await loop_of(Log()).run(request, make, lambda: False)
    assert caught.value.error_class == "internal"


class _Loop:
    """Stands where the attempts are made: a stream that has begun."""

    def __init__(self, chunks: ChatStream, call_: Call) -> None:
        self._answer = (OpenStream(httpx.Response(200), cast(Any, None), chunks, b""), call_.begin(0, 0, 100.0))

    async def run(self, *_: Any) -> Any:
        return self._answer


def delivery(chunks: ChatStream, request: Call, log: Log) -> StreamDelivery:
    request.progress[HOLD_ID] = StreamProgress(HOLD_ID)
    upstream = Upstream(cast(Any, None), cast(Any, _Limits()), UpstreamTimes(1.0, 1.0))
    reporter = ProgressReporter(cast(Ledger, None))
    settler = Settler(cast(Publisher, log))
    return StreamDelivery(cast(AttemptLoop, _Loop(chunks, request)), upstream, settler, reporter)


class _Limits:
    connect_s = wait_s = 1.0


async def _receive() -> Any:
    await asyncio.Event().wait()


@pytest.mark.parametrize("error", [RuntimeError("unforeseen"), asyncio.CancelledError()])
@pytest.mark.parametrize(("feeds", "charged"), [(2, 1), (0, None)])
async def test_a_stream_that_began_is_settled_once_whatever_breaks(
    error: BaseException, feeds: int, charged: int | None
) -> None:
    async def send(_: Any) -> None:
        raise error

    log, chunks = Log(), ChatStream(1)
    for _ in range(feeds):
        chunks.feed(CHUNK)
    request = fresh(catalog([channel("a")], [model("gpt-4o", "a")]), stream=True)
    try:
        assert await delivery(chunks, request, log).answer(request, _receive, send) is None
    except asyncio.CancelledError:
        assert isinstance(error, asyncio.CancelledError)
    assert log.types == ["AttemptFinished", "RequestCompleted"]
    [attempt] = request.attempts
    assert (attempt["outcome"], attempt["error_class"], attempt["usage"]["output_tokens"]) == ("failed", "internal", feeds)
    assert (b'"charged_attempt":1' in log.records[-1].value) is (charged == 1)


async def test_a_stream_with_its_first_content_is_reported_before_the_beat_that_reports_all() -> None:
    calls: asyncio.Queue[list[int]] = asyncio.Queue()

    class Told:
        async def report_progress(self, reports: Any) -> bytes:
            calls.put_nowait([report.output_tokens for report in reports])
            return b'{"closed":[]}'

    reporter = ProgressReporter(cast(Ledger, Told()))
    speaking, silent = StreamProgress(HOLD_ID), StreamProgress(UUID(int=9))
    for progress in (speaking, silent):
        reporter.open(progress)
    reporter.start()
    reporter.advance(speaking, 3)
    async with asyncio.timeout(10):
        assert await calls.get() == [3]
        assert sorted(await calls.get()) == [0, 3]
    await reporter.stop()


async def test_a_sign_of_life_renews_a_hold_for_the_lease_that_is_set() -> None:
    deadlines: asyncio.Queue[datetime] = asyncio.Queue()

    class Told:
        async def report_progress(self, reports: Any) -> bytes:
            deadlines.put_nowait(reports[0].deadline_at)
            return b'{"closed":[]}'

    reporter = ProgressReporter(cast(Ledger, Told()), timedelta(hours=1))
    stream = StreamProgress(HOLD_ID)
    reporter.open(stream)
    reporter.start()
    reporter.advance(stream, 1)
    async with asyncio.timeout(10):
        deadline = await deadlines.get()
    assert timedelta(minutes=59) < deadline - datetime.now(UTC) < timedelta(minutes=61)
    await reporter.stop()


async def test_an_unforeseen_error_of_an_admin_call_is_told_in_the_usual_shape() -> None:
    def broken() -> str:
        raise KeyError("nobody thought of it")

    none = cast(Any, None)
    desk = AdminDesk(
        store=none,
        files=none,
        writer=none,
        planner=none,
        prices=none,
        resealer=none,
        tables=none,
        health=none,
        edge_token=b"b",
        unready=broken,
        clock=none,
    )
    entities = EntityDesk(
        store=none, files=none, writer=none, tables=none, freezes=none, freeze_store=none, obey=none, change_log=none
    )
    transport = httpx.ASGITransport(app=build_admin(desk, entities, Guard(b"a", none)))
    async with httpx.AsyncClient(transport=transport, base_url="http://router") as client:
        reply = await client.get("/readyz")
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "internal_error")
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
