"""Requests and tokens per minute: none beyond the limit however many come at once, and what was not used comes back."""

import asyncio
from collections.abc import Awaitable

import pytest
from redis.exceptions import ConnectionError as RedisAwayError

from services.edge.errors import InvalidRequestError, RateLimitedError, UnavailableError
from services.edge.pace import Estimate, MinuteLimit
from services.edge.pace_windows import MemoryWindows
from services.edge.pacer import Paced, Pacer

KEY = MinuteLimit("key", "k", 5, 1000)


class Clock:
    """A clock that a test moves."""

    now_s = 6000.0

    def __call__(self) -> float:
        return self.now_s


class Unsteady(MemoryWindows):
    """A store that answers only while it is there."""

    there = True
    asked = 0

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        self.asked += 1
        if not self.there:
            raise RedisAwayError("away")
        return await super().acquire_sliding_window_entry(key, limit, expiry, amount)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def windows(clock: Clock) -> MemoryWindows:
    return MemoryWindows(clock=clock)


@pytest.fixture
def pacer(windows: MemoryWindows, clock: Clock) -> Pacer:
    return Pacer(windows, clock=clock)


async def admitted(pacer: Pacer, *limits: MinuteLimit, need: Estimate | None = None) -> Paced:
    paced = Paced()
    await pacer.request(paced, limits)
    if need is not None:
        await pacer.tokens(paced, limits, need)
    return paced


async def passes(call: Awaitable[Paced]) -> bool:
    try:
        await call
    except RateLimitedError:
        return False
    return True


async def test_so_many_requests_pass_and_no_more(pacer: Pacer) -> None:
    assert [await passes(admitted(pacer, KEY)) for _ in range(7)] == [True] * 5 + [False] * 2


async def test_of_a_flood_at_once_only_as_much_passes_as_the_estimates_allow(pacer: Pacer) -> None:
    limit = MinuteLimit("key", "k", None, 1000)
    flood = await asyncio.gather(*(passes(admitted(pacer, limit, need=Estimate(50, 50))) for _ in range(100)))
    assert sum(flood) == 10


async def test_what_was_not_used_comes_back_and_what_was_used_beyond_the_estimate_counts(pacer: Pacer) -> None:
    limit = MinuteLimit("key", "k", None, 1000)
    calls = [await admitted(pacer, limit, need=Estimate(0, 250)) for _ in range(4)]
    assert not await passes(admitted(pacer, limit, need=Estimate(0, 100)))
    await pacer.settle(calls[0], 50)
    assert await passes(admitted(pacer, limit, need=Estimate(0, 200)))
    await pacer.settle(calls[1], 900)
    await pacer.settle(calls[2], 0)
    # 50 + 900 + 250 + 200 are more than the limit: what was used counts, and nobody passes until it wears off.
    assert not await passes(admitted(pacer, limit, need=Estimate(0, 1)))


async def test_an_end_that_nobody_knows_leaves_the_estimate_as_it_is(pacer: Pacer) -> None:
    limit = MinuteLimit("key", "k", None, 1000)
    call = await admitted(pacer, limit, need=Estimate(0, 1000))
    await pacer.settle(call, None)
    assert not await passes(admitted(pacer, limit, need=Estimate(0, 1)))


async def test_settling_twice_changes_nothing(pacer: Pacer) -> None:
    limit = MinuteLimit("key", "k", None, 1000)
    await admitted(pacer, limit, need=Estimate(0, 500))
    call = await admitted(pacer, limit, need=Estimate(0, 500))
    for _ in range(3):
        await pacer.settle(call, 100)
    assert await passes(admitted(pacer, limit, need=Estimate(0, 400)))
    assert not await passes(admitted(pacer, limit, need=Estimate(0, 1)))


@pytest.mark.parametrize("later_s", [0.0, 30.0, 61.0, 110.0])
async def test_a_correction_belongs_to_the_minute_of_the_estimate(pacer: Pacer, clock: Clock, later_s: float) -> None:
    limit = MinuteLimit("key", "k", None, 1000)
    clock.now_s += 5
    early = await admitted(pacer, limit, need=Estimate(0, 900))
    clock.now_s += later_s
    worn = 0.0 if later_s < 55 else (later_s - 55) / 60
    late = await admitted(pacer, limit, need=Estimate(0, int(1000 - 900 * (1 - worn)) - 1))
    await pacer.settle(early, 0)
    # All that is left is the second call's own estimate, whole.
    assert late.counted[0].amount > 0
    assert await passes(admitted(pacer, limit, need=Estimate(0, 1000 - late.counted[0].amount)))
    assert not await passes(admitted(pacer, limit, need=Estimate(0, 1)))


async def test_a_correction_that_comes_after_two_minutes_is_too_late_to_matter(pacer: Pacer, clock: Clock) -> None:
    limit = MinuteLimit("key", "k", None, 1000)
    call = await admitted(pacer, limit, need=Estimate(0, 1000))
    clock.now_s += 125
    await admitted(pacer, limit, need=Estimate(0, 1000))
    await pacer.settle(call, 0)
    assert not await passes(admitted(pacer, limit, need=Estimate(0, 1)))


async def test_a_minute_slides_so_that_its_turn_lets_no_double_burst_pass(pacer: Pacer, clock: Clock) -> None:
    clock.now_s = 6059.0
    assert sum([await passes(admitted(pacer, KEY)) for _ in range(10)]) == 5
    clock.now_s = 6061.0
    assert sum([await passes(admitted(pacer, KEY)) for _ in range(10)]) <= 1


async def test_the_wait_that_is_told_is_the_one_after_which_it_passes(pacer: Pacer, clock: Clock) -> None:
    for turn in range(20):
        with pytest.raises(RateLimitedError) as refused:  # noqa: PT012 -- as many as pass, then the one that does not
            while True:
                await admitted(pacer, KEY)
        clock.now_s += refused.value.retry_after_s
        assert await passes(admitted(pacer, KEY)), turn
        assert refused.value.retry_after_s <= 120


async def test_what_is_refused_is_counted_nowhere(pacer: Pacer) -> None:
    account, key = MinuteLimit("account", "a", 10, None), MinuteLimit("key", "k", 5, 100)
    for _ in range(5):
        assert await passes(admitted(pacer, account, key, need=Estimate(0, 20)))
    for _ in range(50):
        assert not await passes(admitted(pacer, account, key, need=Estimate(0, 20)))
    assert sum([await passes(admitted(pacer, account)) for _ in range(10)]) == 5


async def test_a_refusal_names_the_envelope_that_refused(pacer: Pacer) -> None:
    await admitted(pacer, MinuteLimit("project", "p", 1, None))
    with pytest.raises(RateLimitedError, match="the project of this API key may use 1 request a minute") as refused:
        await admitted(pacer, MinuteLimit("project", "p", 1, None))
    assert refused.value.facts["envelope"] == {"kind": "project", "id": "p", "window": "minute"}


async def test_a_changed_limit_goes_on_with_what_was_counted(pacer: Pacer) -> None:
    for _ in range(5):
        await admitted(pacer, KEY)
    assert not await passes(admitted(pacer, MinuteLimit("key", "k", 3, None)))
    assert sum([await passes(admitted(pacer, MinuteLimit("key", "k", 7, None))) for _ in range(5)]) == 2


async def test_a_cap_above_the_limit_is_refused_since_no_clock_lifts_it(pacer: Pacer) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        await admitted(pacer, KEY, need=Estimate(10, 1001))
    assert refused.value.code == "request_exceeds_rate_limit"
    assert sum([await passes(admitted(pacer, KEY)) for _ in range(10)]) == 5


async def test_while_the_shared_store_is_away_this_process_counts_alone(clock: Clock, windows: MemoryWindows) -> None:
    shared = Unsteady(clock=clock)
    pacer = Pacer(windows, shared, clock=clock)
    assert sum([await passes(admitted(pacer, KEY)) for _ in range(10)]) == 5
    assert len(windows) == 0
    shared.there = False
    assert sum([await passes(admitted(pacer, KEY)) for _ in range(10)]) == 5
    shared.there = True
    assert not await passes(admitted(pacer, KEY))
    clock.now_s += 2
    assert not await passes(admitted(pacer, KEY))
    assert shared.there


async def test_a_store_that_is_away_is_tried_by_one_call_now_and_then_and_not_by_a_crowd(
    clock: Clock, windows: MemoryWindows
) -> None:
    shared = Unsteady(clock=clock)
    pacer = Pacer(windows, shared, clock=clock)
    shared.there = False
    wide = MinuteLimit("key", "k", 1000, None)
    for asked in (1, 2, 3):
        await asyncio.gather(*(passes(admitted(pacer, wide)) for _ in range(50)))
        assert shared.asked == asked
        clock.now_s += 1.5
    shared.there = True
    await admitted(pacer, wide)
    await asyncio.gather(*(passes(admitted(pacer, wide)) for _ in range(50)))
    assert shared.asked == 3 + 51


async def test_where_the_setting_says_so_nobody_with_limits_passes_without_the_shared_store(
    clock: Clock, windows: MemoryWindows
) -> None:
    shared = Unsteady(clock=clock)
    pacer = Pacer(windows, shared, on_outage="refuse", clock=clock)
    assert await passes(admitted(pacer, KEY))
    shared.there = False
    with pytest.raises(UnavailableError) as refused:
        await admitted(pacer, KEY)
    assert refused.value.code == "rate_limits_unavailable"


async def test_counters_are_bounded_and_the_one_that_was_used_longest_ago_is_forgotten(clock: Clock) -> None:
    windows = MemoryWindows(capacity=10, clock=clock)
    pacer = Pacer(windows, clock=clock)
    for number in range(100):
        await admitted(pacer, MinuteLimit("key", str(number), 5, None))
    assert len(windows) == 10
