"""Living with aiokafka, which awaits tasks that it has cancelled and hands their cancellation on to its caller."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def close(closing: Coroutine[Any, Any, None], timeout_s: float) -> str | None:
    """Why it did not close: out of time (it is cancelled then), or its error. None if it closed.

    In a task of its own, so that a cancellation from within does not become ours.
    """
    task = asyncio.ensure_future(closing)
    await asyncio.wait({task}, timeout=timeout_s)
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=timeout_s)
        return f"not closed within {timeout_s} s"
    if task.cancelled():
        return "cancelled from within"
    error = task.exception()
    return None if error is None else repr(error)


def asked_to_end() -> bool:
    """Whether a cancellation that is under way was asked for, and does not come from within a library."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
