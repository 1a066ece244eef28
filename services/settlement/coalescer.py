"""Many small calls become few large ones: what arrives while a call is under way goes into the next one."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from services.settlement.errors import UnavailableError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Coalescer(Generic[Item, Answer]):
    """Runs `lanes` calls at once, each with at most `limit` items; an idle lane takes what is there at once, without a timer.

    A caller's items stay together. `capacity` bounds what may wait; beyond it a caller is told to come back.
    """

    def __init__(self, calls: Sequence[Callable[[list[Item]], Awaitable[list[Answer]]]], *, limit: int, capacity: int) -> None:
        self._calls = calls
        self._limit = limit
        self._capacity = capacity
        self._waiting: deque[tuple[Sequence[Item], asyncio.Future[list[Answer]]]] = deque()
        self._count = 0
        self._idle: deque[asyncio.Future[None]] = deque()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the lanes."""
        self._tasks = [asyncio.create_task(self._lane(call)) for call in self._calls]

    async def stop(self) -> None:
        """Cancel the lanes; whoever still waits is told to come back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(UnavailableError("the ledger is stopping"))

    async def submit(self, items: Sequence[Item]) -> list[Answer]:
        """The answers to the items, in order. Raises UnavailableError when too much waits, or what the call raised."""
        if self._count + len(items) > self._capacity:
            raise UnavailableError("too many holds wait for the ledger")
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, future))
        self._count += len(items)
        while self._idle:
            wake = self._idle.popleft()
            if not wake.done():
                wake.set_result(None)
                break
        return await future

    async def _lane(self, call: Callable[[list[Item]], Awaitable[list[Answer]]]) -> None:
        while True:
            while not self._waiting:
                wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._idle.append(wake)
                await wake
            groups = self._take()
            items = [item for group, _ in groups for item in group]
            try:
                answers = await call(items)
            except Exception as error:  # noqa: BLE001 - handed to every caller of the batch, none is passed over
                _fail(groups, error)
            except asyncio.CancelledError:
                _fail(groups, UnavailableError("the ledger is stopping"))
                raise
            else:
                _answer(groups, answers)

    def _take(self) -> list[tuple[Sequence[Item], asyncio.Future[list[Answer]]]]:
        taken = [self._waiting.popleft()]
        size = len(taken[0][0])
        while self._waiting and size + len(self._waiting[0][0]) <= self._limit:
            taken.append(self._waiting.popleft())
            size += len(taken[-1][0])
        self._count -= size
        return taken


def _answer(groups: list[tuple[Sequence[Item], asyncio.Future[list[Answer]]]], answers: list[Answer]) -> None:
    start = 0
    for items, future in groups:
        if not future.done():
            future.set_result(answers[start : start + len(items)])
        start += len(items)


def _fail(groups: list[tuple[Sequence[Item], asyncio.Future[list[Answer]]]], error: Exception) -> None:
    for _, future in groups:
        if not future.done():
            future.set_exception(error)
