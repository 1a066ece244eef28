"""Who waits for whom: the reports of an account for one another, and for nobody else's."""

import asyncio

import pytest

from services.analytics.usage_api.turns import MOST_WAITING, TooManyReportsError, Turns


async def hold(turns: Turns, whose: str, let_go: asyncio.Event, order: list[str], *, begun: bool = False) -> None:
    """Take a turn and keep it until told."""
    async with turns.of(whose, begun=begun):
        order.append(whose)
        await let_go.wait()


async def settle() -> None:
    """Let every step that can be taken be taken."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_one_report_of_an_account_is_read_at_a_time_and_nobody_elses_waits() -> None:
    turns, let_go, order = Turns(), asyncio.Event(), list[str]()
    asks = [asyncio.create_task(hold(turns, whose, let_go, order)) for whose in ("a", "a", "b", "a")]
    await settle()
    assert order == ["a", "b"]
    let_go.set()
    await asyncio.gather(*asks)
    assert sorted(order) == ["a", "a", "a", "b"]


async def test_a_full_line_refuses_what_is_new_and_not_what_was_begun() -> None:
    turns, let_go, order = Turns(), asyncio.Event(), list[str]()
    asks = [asyncio.create_task(hold(turns, "a", let_go, order)) for _ in range(MOST_WAITING)]
    await settle()
    with pytest.raises(TooManyReportsError):
        await hold(turns, "a", let_go, order)
    begun = asyncio.create_task(hold(turns, "a", let_go, order, begun=True))
    let_go.set()
    await asyncio.gather(*asks, begun)
    assert len(order) == MOST_WAITING + 1


async def test_whoever_gives_up_waiting_leaves_the_line() -> None:
    turns, let_go, order = Turns(), asyncio.Event(), list[str]()
    first, second = (asyncio.create_task(hold(turns, "a", let_go, order)) for _ in range(2))
    await settle()
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    let_go.set()
    await first
    for _ in range(MOST_WAITING + 1):
        await hold(turns, "a", let_go, order)
    assert len(order) == MOST_WAITING + 2
