"""Tasks that live as long as the process. One that ends by itself is a fault: the process must not go on without it.

A task that has an end may reach it, and must not fail on the way.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class Background:
    """Starts tasks and watches over them; `on_fault` is called once when one of them dies."""

    def __init__(self, on_fault: Callable[[], None]) -> None:
        self._on_fault = on_fault
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, work: Coroutine[Any, Any, None], *, ends: bool = False) -> None:
        """Run the work until :meth:`stop`, or until it `ends`."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(partial(self._ended, may_end=ends))
        self._tasks.append(task)

    async def stop(self) -> None:
        """Cancel every task and wait for its end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None], *, may_end: bool) -> None:
        if task.cancelled() or (may_end and task.exception() is None):
            return
        log.critical("a background task died, ending the process", task=task.get_name(), exc_info=task.exception())
        self._on_fault()
