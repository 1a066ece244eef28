"""Callers share calls, nobody waits for a timer, and every bound holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from services.router.coalescer import Coalescer, CoalescerFullError, CoalescerLimits


class Server:
    """Answers batches when it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gates: list[asyncio.Future[None]] = []
        self.begun = asyncio.Condition()
        self.under_way = self.most_under_way = 0

    async def send(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        gate = asyncio.get_running_loop().create_future()
        async with self.begun:
            self.gates.append(gate)
            self.begun.notify_all()
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await gate
        finally:
            self.under_way -= 1
        return [item * 10 for item in items]

    async def opened(self, count: int) -> None:
        """Wait until so many calls have begun."""
        async with asyncio.timeout(5), self.begun:
            await self.begun.wait_for(lambda: len(self.gates) >= count)


def coalescer(server: Server, batch: int = 4, in_flight: int = 1, waiting: int = 100) -> Coalescer[int, int]:
    return Coalescer(server.send, CoalescerLimits(batch=batch, in_flight=in_flight, waiting=waiting))


async def test_what_is_asked_during_a_call_goes_with_the_next_one_in_order() -> None:
    server = Server()
    shared = coalescer(server)
    first = shared.submit(1)
    await server.opened(1)
    rest = [shared.submit(item) for item in (2, 3, 4)]
    server.gates[0].set_result(None)
    await server.opened(2)
    server.gates[1].set_result(None)
    assert [await each for each in (first, *rest)] == [10, 20, 30, 40]
    assert server.batches == [[1], [2, 3, 4]]


async def test_callers_of_one_moment_share_the_first_call() -> None:
    server = Server()
    shared = coalescer(server)
    answers = [shared.submit(item) for item in (1, 2, 3)]
    await server.opened(1)
    server.gates[0].set_result(None)
    assert await asyncio.gather(*answers) == [10, 20, 30]
    assert server.batches == [[1, 2, 3]]


async def test_a_batch_and_the_calls_in_flight_are_bounded() -> None:
    server = Server()
    shared = coalescer(server, batch=2, in_flight=3)
    answers = [shared.submit(item) for item in range(20)]
    opened = 0
    while opened < 10:
        await server.opened(opened + 1)
        server.gates[opened].set_result(None)
        opened += 1
    assert await asyncio.gather(*answers) == [item * 10 for item in range(20)]
    assert max(len(batch) for batch in server.batches) == 2
    assert server.most_under_way <= 3


async def test_too_many_waiting_are_turned_away() -> None:
    server = Server()
    shared = coalescer(server, batch=1, waiting=2)
    taken = [shared.submit(1)]
    await server.opened(1)
    taken += [shared.submit(item) for item in (2, 3)]
    with pytest.raises(CoalescerFullError):
        shared.submit(4)
    for number in range(3):
        await server.opened(number + 1)
        server.gates[number].set_result(None)
    assert await asyncio.gather(*taken) == [10, 20, 30]


async def test_a_failed_call_fails_its_own_callers_only() -> None:
    server = Server()
    shared = coalescer(server)
    first = shared.submit(1)
    await server.opened(1)
    second = shared.submit(2)
    server.gates[0].set_exception(OSError("away"))
    await server.opened(2)
    server.gates[1].set_result(None)
    with pytest.raises(OSError, match="away"):
        await first
    assert await second == 20


async def test_a_caller_that_left_does_not_disturb_the_others() -> None:
    server = Server()
    shared = coalescer(server)
    left, stays = shared.submit(1), shared.submit(2)
    await server.opened(1)
    left.cancel()
    server.gates[0].set_result(None)
    assert await stays == 20


@pytest.mark.parametrize("in_flight", [1, 2])
@pytest.mark.parametrize("turns", range(5))
async def test_what_is_asked_while_the_last_calls_end_is_sent_whichever_turn_of_the_loop_it_is(
    in_flight: int, turns: int
) -> None:
    server = Server()
    shared = coalescer(server, batch=1, in_flight=in_flight)
    answers = [shared.submit(item) for item in range(in_flight)]
    await server.opened(in_flight)
    for gate in server.gates:
        gate.set_result(None)
    _after(turns, lambda: answers.append(shared.submit(in_flight)))
    await server.opened(in_flight + 1)
    server.gates[-1].set_result(None)
    assert await asyncio.gather(*answers) == [item * 10 for item in range(in_flight + 1)]


def _after(turns: int, act: Callable[[], object]) -> None:
    """Do something in the loop's turn after so many others."""
    asyncio.get_running_loop().call_soon(act if turns == 0 else lambda: _after(turns - 1, act))
