"""Closing a client tells why it did not close, and never hands on a cancellation."""

import asyncio

from services.analytics.closing import close


async def test_a_client_that_closes_has_no_problem() -> None:
    assert await close(asyncio.sleep(0), 5) is None


async def test_a_client_that_does_not_come_to_an_end_is_given_up() -> None:
    assert await close(asyncio.sleep(60), 0.01) == "not closed within 0.01 s"


async def test_an_error_is_told() -> None:
    async def fail() -> None:
        raise OSError("gone")

    assert await close(fail(), 5) == "OSError('gone')"


async def test_a_cancellation_from_within_stays_within() -> None:
    async def awaits_what_it_cancelled() -> None:
        inner = asyncio.ensure_future(asyncio.sleep(60))
        inner.cancel()
        await inner

    assert await close(awaits_what_it_cancelled(), 5) == "cancelled from within"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
