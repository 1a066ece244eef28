"""Concurrent callers share calls: what is asked for while calls are under way goes out together with the next one. No timer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class CoalescerFullError(Exception):
    """The bound on waiting items is reached: refuse, or try later."""


class CoalescerLimits(NamedTuple):
    """At most `batch` items a call, `in_flight` calls at once, `waiting` items that no call has taken."""

    batch: int
    in_flight: int
    waiting: int


class _Waiting(NamedTuple, Generic[T, R]):
    item: T
    answer: asyncio.Future[R]


class Coalescer(Generic[T, R]):
    """Sends items through `send`, which answers a batch in order, or raises for all of it."""

    def __init__(self, send: Callable[[list[T]], Awaitable[list[R]]], limits: CoalescerLimits) -> None:
        self._send = send
        self._limits = limits
        self._waiting: deque[_Waiting[T, R]] = deque()
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, item: T) -> asyncio.Future[R]:
        """The item's answer, to be awaited. Raises :class:`CoalescerFullError`.

        An answer that nobody awaits any more is dropped; the item is sent all the same.
        """
        if len(self._waiting) >= self._limits.waiting:
            raise CoalescerFullError(f"{self._limits.waiting} items are waiting")
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(item, answer))
        if self._under_way < self._limits.in_flight:
            self._under_way += 1
            # The task begins in the loop's next turn, so that everything asked for in this one travels together.
            task = asyncio.create_task(self._run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._call()
        finally:
            # Without a turn of the loop since nothing was found waiting: what comes next must find that nobody will look again.
            self._under_way -= 1

    async def _call(self) -> None:
        count = min(self._limits.batch, len(self._waiting))
        batch = [self._waiting.popleft() for _ in range(count)]
        try:
            answers = await self._send([waiting.item for waiting in batch])
        except asyncio.CancelledError:
            _fail(batch, asyncio.CancelledError())
            raise
        except Exception as exc:  # noqa: BLE001 - every caller gets it, whatever it is
            _fail(batch, exc)
            return
        for waiting, answer in zip(batch, answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)


def _fail(batch: list[_Waiting[T, R]], exc: BaseException) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(exc) if isinstance(exc, Exception) else waiting.answer.cancel()
