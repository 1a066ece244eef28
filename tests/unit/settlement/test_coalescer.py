"""Calls that arrive while one is under way travel together."""

import asyncio

import pytest

from services.settlement.coalescer import Coalescer
from services.settlement.errors import UnavailableError


class Lane:
    """Answers each item with its double, when it is let."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.taken = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def run(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.taken.set()
        await self.gate.wait()
        if 13 in items:
            raise ValueError("unlucky")
        return [item * 2 for item in items]


async def test_an_idle_lane_takes_a_call_at_once() -> None:
    lane = Lane()
    coalescer = Coalescer([lane.run], limit=10, capacity=100)
    coalescer.start()
    assert await coalescer.submit([1, 2]) == [2, 4]
    assert await coalescer.submit([3]) == [6]
    assert lane.batches == [[1, 2], [3]]
    await coalescer.stop()


async def test_what_arrives_meanwhile_goes_together_and_each_gets_its_own() -> None:
    lane = Lane()
    lane.gate.clear()
    coalescer = Coalescer([lane.run], limit=4, capacity=100)
    coalescer.start()
    calls = [asyncio.create_task(coalescer.submit(items)) for items in ([1], [2, 3], [4], [5, 6])]
    await lane.taken.wait()
    lane.gate.set()
    assert await asyncio.gather(*calls) == [[2], [4, 6], [8], [10, 12]]
    assert [item for batch in lane.batches for item in batch] == [1, 2, 3, 4, 5, 6]
    assert max(len(batch) for batch in lane.batches) <= 4
    await coalescer.stop()


async def test_an_error_reaches_every_caller_of_its_batch_and_no_other() -> None:
    coalescer = Coalescer([Lane().run], limit=10, capacity=100)
    coalescer.start()
    with pytest.raises(ValueError, match="unlucky"):
        await coalescer.submit([13])
    assert await coalescer.submit([1]) == [2]
    await coalescer.stop()


async def test_more_than_may_wait_is_told_to_come_back() -> None:
    lane = Lane()
    lane.gate.clear()
    coalescer = Coalescer([lane.run], limit=1, capacity=2)
    coalescer.start()
    calls = [asyncio.create_task(coalescer.submit([1]))]
    await lane.taken.wait()
    calls += [asyncio.create_task(coalescer.submit([number])) for number in (2, 3)]
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError):
        await coalescer.submit([4])
    lane.gate.set()
    assert await asyncio.gather(*calls) == [[2], [4], [6]]
    await coalescer.stop()


async def test_a_stop_leaves_nobody_waiting() -> None:
    lane = Lane()
    lane.gate.clear()
    coalescer = Coalescer([lane.run], limit=1, capacity=10)
    coalescer.start()
    calls = [asyncio.create_task(coalescer.submit([number])) for number in (1, 2)]
    await lane.taken.wait()
    await coalescer.stop()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in found] == [UnavailableError, UnavailableError]


async def test_a_caller_that_went_away_costs_the_others_nothing() -> None:
    lane = Lane()
    lane.gate.clear()
    coalescer = Coalescer([lane.run], limit=10, capacity=100)
    coalescer.start()
    gone, stays = (asyncio.create_task(coalescer.submit([number])) for number in (1, 2))
    await lane.taken.wait()
    gone.cancel()
    lane.gate.set()
    assert await stays == [4]
    await coalescer.stop()
