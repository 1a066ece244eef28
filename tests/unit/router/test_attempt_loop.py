"""Which failures are tried again, where, and after which wait; which key is asked; what frees a channel's place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any, cast

import pytest

from schemas.attempts import ErrorClass
from services.router.attempts import AttemptLoop, AttemptRules
from services.router.backoff import Backoff
from services.router.breaker import BreakerLimits
from services.router.buckets import Buckets
from services.router.call import Call, Running
from services.router.catalog import Catalog
from services.router.dialects.known import DIALECTS
from services.router.errors import LogUnavailableError, UpstreamError, Verdict
from services.router.funding import Funding
from services.router.health import Health, Passage
from services.router.publisher import Publisher
from tests.unit.router.test_unforeseen import Log
from tests.unit.router.things import ask, call, catalog, channel, model

KEYS = [{"secret": "one"}, {"secret": "two"}]
TWO = catalog([channel("a"), channel("b")], [model("gpt-4o", "a", "b")])
WORDLESS = catalog(
    [channel("a", dialect="anthropic", limits={"requests_per_minute": 1, "tokens_per_minute": 1000}), channel("b")],
    [model("gpt-4o", "a", "b")],
)
"""Its first channel's provider has no word for logit_bias."""
KEYED = catalog([channel("a", keys=KEYS), channel("b")], [model("gpt-4o", "a", "b")])


class Bench:
    """A loop over channels that fail as they are told to; `asked` is where each call went: (channel, key)."""

    def __init__(self, of: Catalog, *failures: UpstreamError, tries: int = 2, backoff: Backoff | None = None) -> None:
        self.health = Health(BreakerLimits(consecutive=5, open_s=10), monotonic)
        self.of = of
        self.log = Log()
        self.asked: list[tuple[str, int]] = []
        self._failures = list(failures)
        rules = AttemptRules(tries, backoff or Backoff(base_s=0.001))
        publisher = cast(Publisher, self.log)
        self.loop = AttemptLoop(cast(Funding, None), self.health, publisher, Buckets(), rules=rules, draw=lambda: 0.5)

    def call(self, *, deadline_s: float = 60.0, policy: dict[str, Any] | None = None, **body: Any) -> Call:
        made = call(self.of, ask(**body), **(policy or {}))
        made.deadline = monotonic() + deadline_s
        return made

    async def make(self, _: Call, running: Running) -> str:
        self.asked.append((running.place.channel.id, running.key))
        if self._failures:
            raise self._failures.pop(0)
        return "answer"

    async def run(self, of: Call | None = None, gone: Callable[[], bool] = lambda: False) -> tuple[str, Running]:
        return await self.loop.run(of or self.call(), self.make, gone)


STATUSES: list[tuple[int, ErrorClass, Verdict]] = [
    (302, "upstream_error", "next"),
    (400, "invalid_request", "pass"),
    (401, "unauthorized", "next"),
    (402, "unauthorized", "next"),
    (403, "unauthorized", "next"),
    (404, "invalid_request", "pass"),
    (408, "timeout", "retry"),
    (409, "upstream_error", "retry"),
    (413, "invalid_request", "pass"),
    (418, "upstream_error", "next"),
    (422, "invalid_request", "pass"),
    (425, "upstream_error", "retry"),
    (429, "rate_limited", "retry"),
    (500, "upstream_error", "retry"),
    (501, "upstream_error", "retry"),
    (502, "upstream_unavailable", "retry"),
    (503, "upstream_unavailable", "retry"),
    (504, "timeout", "retry"),
    (529, "upstream_unavailable", "retry"),
]
BROKEN: list[tuple[ErrorClass, Verdict]] = [
    ("connection_failed", "retry"),
    ("stream_cut", "retry"),
    ("malformed_reply", "retry"),
    ("internal", "next"),
]
"""Failures without a status of their own."""


@pytest.mark.parametrize(("status", "error_class", "verdict"), STATUSES)
@pytest.mark.parametrize("dialect", sorted(DIALECTS["chat"]))
def test_a_status_means_the_same_in_every_dialect(dialect: str, status: int, error_class: ErrorClass, verdict: Verdict) -> None:
    failure = DIALECTS["chat"][dialect].failure_of(status, b"{}", 3.0)
    assert (failure.error_class, failure.verdict, failure.status, failure.retry_after_s) == (error_class, verdict, status, 3.0)


@pytest.mark.parametrize(
    ("error_class", "verdict"),
    sorted({each[1:] for each in STATUSES} | set(BROKEN)),
)
async def test_retry_asks_the_channel_again_next_asks_the_next_and_pass_asks_nobody(
    error_class: ErrorClass, verdict: Verdict
) -> None:
    bench = Bench(TWO, UpstreamError(error_class, verdict))
    if verdict == "pass":
        with pytest.raises(UpstreamError):
            await bench.run()
        assert bench.asked == [("a", 0)]
        return
    await bench.run()
    assert bench.asked == [("a", 0), ("a" if verdict == "retry" else "b", 0)]


async def test_a_channel_is_asked_so_often_and_no_more_then_the_next_one() -> None:
    request = (bench := Bench(TWO, *[UpstreamError("timeout", "retry") for _ in range(3)], tries=3)).call()
    await bench.run(request)
    assert [each[0] for each in bench.asked] == ["a", "a", "a", "b"]
    assert [(each["from_attempt"], each["to_attempt"], each["reason"]) for each in request.fallbacks] == [(3, 4, "timeout")]


async def test_the_policys_attempts_bound_all_channels_together() -> None:
    bench = Bench(TWO, *[UpstreamError("timeout", "retry") for _ in range(9)])
    with pytest.raises(UpstreamError):
        await bench.run(bench.call(policy={"max_attempts": 3}))
    assert len(bench.asked) == 3


async def test_a_short_retry_after_is_waited_for_and_a_long_one_moves_on() -> None:
    backoff = Backoff(base_s=0.001, retry_after_max_s=0.05)
    short = Bench(TWO, UpstreamError("upstream_unavailable", "retry", retry_after_s=0.03), backoff=backoff)
    begun = monotonic()
    await short.run()
    assert short.asked == [("a", 0), ("a", 0)]
    assert monotonic() - begun >= 0.03
    long = Bench(TWO, UpstreamError("upstream_unavailable", "retry", retry_after_s=0.06), backoff=backoff)
    await long.run()
    assert long.asked == [("a", 0), ("b", 0)]


async def test_a_retry_after_beyond_the_deadline_is_not_waited_for() -> None:
    bench = Bench(TWO, UpstreamError("upstream_unavailable", "retry", retry_after_s=30), backoff=Backoff(retry_after_max_s=60))
    await bench.run(bench.call(deadline_s=5))
    assert bench.asked == [("a", 0), ("b", 0)]


async def test_after_the_deadline_nobody_is_asked() -> None:
    bench = Bench(TWO, UpstreamError("timeout", "retry"))
    with pytest.raises(UpstreamError) as caught:
        await bench.run(bench.call(deadline_s=0))
    assert (caught.value.error_class, bench.asked) == ("deadline_exceeded", [("a", 0)])


async def test_a_client_that_left_between_two_attempts_is_not_retried_for() -> None:
    bench = Bench(TWO, UpstreamError("timeout", "retry"))
    with pytest.raises(UpstreamError) as caught:
        await bench.run(gone=lambda: bool(bench.asked))
    assert (caught.value.error_class, len(bench.asked)) == ("client_gone", 1)


@pytest.mark.parametrize(
    "failure",
    [
        UpstreamError("unauthorized", "next", status=401),
        UpstreamError("rate_limited", "retry", status=429, retry_after_s=20),
        UpstreamError("rate_limited", "retry", status=429),
        UpstreamError("rate_limited", "next", status=429),
    ],
)
async def test_where_a_key_is_refused_or_limited_another_key_of_the_channel_is_asked_at_once(failure: UpstreamError) -> None:
    bench = Bench(KEYED, failure, backoff=Backoff(base_s=50, cap_s=50))
    request = bench.call()
    async with asyncio.timeout(5):
        await bench.run(request)
    assert bench.asked == [("a", 0), ("a", 1)]
    assert request.fallbacks == []
    assert bench.health.of(KEYED.channels["a"]).keys_resting(monotonic()) == 1


async def test_a_channel_whose_keys_are_all_refused_is_left_and_rests() -> None:
    bench = Bench(KEYED, *[UpstreamError("unauthorized", "next") for _ in range(2)])
    request = bench.call()
    await bench.run(request)
    assert bench.asked == [("a", 0), ("a", 1), ("b", 0)]
    assert [each["reason"] for each in request.fallbacks] == ["unauthorized"]
    assert bench.health.condition(KEYED.channels["a"]) == "cooldown"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cancelled_call_frees_its_place_and_the_probes(stream: bool) -> None:
    bench = Bench(TWO)
    state = bench.health.of(TWO.channels["a"])
    for _ in range(5):
        state.breaker.failed(monotonic() - 11)
    hanging = asyncio.Event()

    async def make(_: Call, __: Running) -> str:
        hanging.set()
        await asyncio.Event().wait()
        return "never"

    request = bench.call(stream=stream)
    running = asyncio.ensure_future(bench.loop.run(request, make, lambda: False))
    await hanging.wait()
    assert bench.health.condition(TWO.channels["a"]) == "circuit_open"
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert state.use.in_flight == 0
    assert (state.breaker.state, bench.health.condition(TWO.channels["a"])) == ("half_open", None)


async def test_what_a_dialect_cannot_say_is_no_attempt_and_leaves_its_channel_as_it_was() -> None:
    bench = Bench(WORDLESS)
    channel = WORDLESS.channels["a"]
    before = bench.health.of(channel).described(0.0, channel.limits)
    for _ in range(5):
        request = bench.call(logit_bias={"1": 1})
        await bench.run(request)
        assert [(each["channel"], each["attempt"]) for each in request.attempts] == []
        assert [(each["from_attempt"], each["to_attempt"], each["reason"]) for each in request.fallbacks] == [
            (None, 1, "not_translatable")
        ]
    assert bench.asked == [("b", 0)] * 5
    assert bench.health.of(channel).described(0.0, channel.limits) == before
    # Its one place of this minute is still there for whoever asks what it can be told.
    await bench.run()
    assert bench.asked[-1] == ("a", 0)


async def test_a_circuit_that_may_be_probed_is_neither_closed_nor_probed_by_what_a_dialect_cannot_say() -> None:
    bench = Bench(WORDLESS)
    state = bench.health.of(WORDLESS.channels["a"])
    for _ in range(5):
        state.breaker.failed(monotonic() - 11)
    assert state.breaker.state == "open"
    await bench.run(bench.call(logit_bias={"1": 1}))
    assert (state.breaker.state, bench.health.condition(WORDLESS.channels["a"])) == ("open", None)


async def test_where_no_candidate_can_say_it_the_client_is_told_which_parameter_and_nothing_is_asked() -> None:
    of = catalog([channel("a", dialect="anthropic"), channel("b", dialect="gemini")], [model("gpt-4o", "a", "b")])
    bench = Bench(of)
    request = bench.call(logit_bias={"1": 1})
    with pytest.raises(UpstreamError) as caught:
        await bench.run(request)
    assert (caught.value.error_class, caught.value.status, caught.value.sent) == ("not_translatable", 400, False)
    assert b'"param":"logit_bias"' in caught.value.body
    assert (bench.asked, request.attempts, bench.log.types) == ([], [], ["FallbackTaken"])


async def test_where_the_one_that_could_say_it_is_at_its_limit_the_client_is_told_to_come_again() -> None:
    rows = [channel("a", dialect="anthropic"), channel("b", limits={"requests_per_minute": 1})]
    for order in (("a", "b"), ("b", "a")):
        bench = Bench(of := catalog(rows, [model("gpt-4o", *order)]))
        taken = bench.health.begin(of.channels["b"])
        assert isinstance(taken, Passage)
        with pytest.raises(UpstreamError) as caught:
            await bench.run(bench.call(logit_bias={"1": 1}))
        assert (caught.value.error_class, bench.asked) == ("rate_limited", [])


async def test_a_candidate_that_a_second_hold_would_pay_for_is_not_held_for_where_it_cannot_say_the_request() -> None:
    bench = Bench(WORDLESS)
    request = bench.call(logit_bias={"1": 1}, policy={"cross_bucket": True})
    del request.covers[0]
    # The bench has no money to ask for: a second hold would break it.
    await bench.run(request)
    assert bench.asked == [("b", 0)]


class Away(Log):
    """A log that takes nothing, or never answers."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    async def put_and_wait(self, _: str, records: Any) -> None:
        raise self._error


@pytest.mark.parametrize("error", [LogUnavailableError("away"), asyncio.CancelledError()])
async def test_an_attempt_that_could_not_be_announced_frees_its_place(error: BaseException) -> None:
    bench = Bench(TWO, UpstreamError("timeout", "next"))
    bench.loop._publisher = cast(Publisher, Away(error))
    with pytest.raises(type(error)):
        await bench.run()
    assert [bench.health.of(each).use.in_flight for each in TWO.channels.values()] == [0, 0]


async def test_a_stream_keeps_its_place_until_it_is_over_and_a_plain_reply_until_it_is_read() -> None:
    bench = Bench(TWO)
    state = bench.health.of(TWO.channels["a"])
    await bench.run()
    assert state.use.in_flight == 0
    request = bench.call(stream=True)
    _, running = await bench.run(request)
    assert (state.use.in_flight, state.successes) == (1, 1)
    request.finished(running, None, "none", monotonic(), outcome="failed", error_class="stream_cut")
    request.over()
    request.over()
    assert (state.use.in_flight, state.successes, state.last_error) == (0, 1, "stream_cut")


async def test_a_place_that_was_taken_after_the_plan_was_made_is_a_limit_and_no_failure() -> None:
    of = catalog([channel("a", limits={"concurrency": 1})], [model("gpt-4o", "a")])
    bench = Bench(of)
    request = bench.call()
    taken = bench.health.begin(of.channels["a"])
    assert isinstance(taken, Passage)
    with pytest.raises(UpstreamError) as caught:
        await bench.run(request)
    assert (caught.value.error_class, caught.value.retry_after_s, bench.asked) == ("rate_limited", 1.0, [])


async def test_a_channel_at_its_limit_is_passed_over_for_its_backup_with_that_reason() -> None:
    of = catalog([channel("a", limits={"requests_per_minute": 1}), channel("b")], [model("gpt-4o", "a", "b")])
    bench = Bench(of)
    await bench.run()
    request = bench.call()
    await bench.run(request)
    assert [each[0] for each in bench.asked] == ["a", "b"]
    assert [(each["from_attempt"], each["to_attempt"], each["reason"]) for each in request.fallbacks] == [
        (None, 1, "request_limit")
    ]


async def test_latency_is_measured_where_it_was_answered_and_where_it_timed_out() -> None:
    bench = Bench(TWO, UpstreamError("timeout", "next"), UpstreamError("upstream_error", "next"))
    with pytest.raises(UpstreamError):
        await bench.run()
    await bench.run()
    a, b = (bench.health.of(each).latencies for each in TWO.channels.values())
    assert a.recent_ms("gpt-4o", stream=False) is not None
    assert b.recent_ms("gpt-4o", stream=False) is None
    assert a.recent_ms("gpt-4o", stream=True) is None
