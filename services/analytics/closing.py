"""Closing a Kafka client that may not come to an end, or may end in a cancellation that was never asked for."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def close(closing: Coroutine[Any, Any, None], timeout_s: float) -> str | None:
    """Why it did not close: out of time (it is cancelled then), or its error. None if it closed.

    In a task of its own: aiokafka awaits tasks that it has cancelled, and their cancellation must not become ours.
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
