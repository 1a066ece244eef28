"""The lines of one batch as they are worked on: fresh ones, those that wait, and those whose end is not known."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from services.router import metrics
from services.router.batch.identities import request_id
from services.router.batch.job import Job
from services.router.batch.line_work import LineWork, Task, Unsure
from services.router.batch.results import UNCLAIMED, Ended
from services.router.batch.source import Source
from services.router.batch.store import BatchStore
from services.router.errors import BatchStopsError, LineWaitsError

REPEATS_MAX = 3
"""How often a line whose worker died is asked again, where the batch allows that at all."""
LOOK_AGAIN_S = 0.5
PAUSE_S = 1.0
IDLE_S = 0.1
WRITE_EVERY_S = 0.2
STORE_ERRORS = (psycopg.Error, PoolTimeout, OSError)

log = structlog.get_logger(__name__)


class _Item(NamedTuple):
    """A line by number and repeat; `unsure` where it was begun. Not before `due`, on the loop's clock."""

    number: int
    repeat: int
    unsure: Unsure | None = None
    due: float = 0.0


class LineQueue:
    """Works through a batch. Memory: a few words per line; texts are read when their line is begun."""

    def __init__(self, store: BatchStore, work: LineWork, job: Job, source: Source, *, closing: Callable[[], bool]) -> None:
        self._store = store
        self._work = work
        self._job = job
        self._source = source
        self._closing = closing
        self._fresh: deque[_Item] = deque()
        self._later: deque[_Item] = deque()
        self._active = 0
        self._ended: list[Ended] = []

    async def work(self, at_once: int) -> bool:
        """Work until every line has its end or none may be begun. False where lines are left for another lease."""
        last = {end.line: end for end in await self._store.lines(self._job.batch_id)}
        for number in range(1, self._source.total + 1):
            repeat = self._next_repeat(last.get(number))
            if repeat is not None:
                self._fresh.append(_Item(number, repeat))
        waiting = metrics.BATCH_LINES_WAITING
        waiting.inc(count := len(self._fresh))
        writer = asyncio.create_task(self._write())
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(at_once, max(1, count))):
                    group.create_task(self._worker())
        finally:
            waiting.dec(count)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return await self._flush_all() and not self._left()

    def _next_repeat(self, end: Ended | None) -> int | None:
        """The repeat of a line that is to be worked on, None where the line is over."""
        if end is None:
            return 0
        again = end.outcome == "lost" and (self._job.data.repeat or end.code == UNCLAIMED) and end.repeat < REPEATS_MAX
        return end.repeat + 1 if again else None

    def _left(self) -> bool:
        unsure = any(item.unsure is not None for item in self._later)
        return self._job.lost or unsure or (self._job.working and bool(self._fresh or self._later))

    async def _worker(self) -> None:
        while not (self._job.lost or self._closing()):
            item = self._take()
            if item is None:
                if not self._active and not self._left():
                    return
                await asyncio.sleep(IDLE_S)
                continue
            self._active += 1
            metrics.BATCH_LINES_UNDER_WAY.inc()
            try:
                await self._one(item)
            finally:
                self._active -= 1
                metrics.BATCH_LINES_UNDER_WAY.dec()

    def _take(self) -> _Item | None:
        """The next line: one that waits and is due again, or a fresh one while lines may be begun."""
        at = monotonic()
        for _ in range(len(self._later)):
            item = self._later.popleft()
            if item.due <= at and (item.unsure is not None or self._job.working):
                return item
            self._later.append(item)
        return self._fresh.popleft() if self._fresh and self._job.working else None

    async def _one(self, item: _Item) -> None:
        job = self._job
        earlier = [request_id(job.batch_id, item.number, repeat) for repeat in range(item.repeat)]
        late = job.epoch > 1 or item.due > 0
        task = Task(item.number, item.repeat, self._source.line(item.number), earlier, late)
        try:
            if item.unsure is None:
                outcome = await self._work.work(job, task)
            else:
                outcome = await self._work.look(job, task, item.unsure)
        except LineWaitsError as exc:
            log.info("line_waits", batch_id=job.batch_id, line=item.number, reason=str(exc))
            self._put_back(item)
            # Whatever keeps this line would keep the next one too: no more lines wait than are worked on at once.
            await asyncio.sleep(PAUSE_S)
        except BatchStopsError as exc:
            job.stop(exc.code, exc.message)
            self._put_back(item)
        except Exception:
            log.exception("line_broke", batch_id=job.batch_id, line=item.number)
            self._took(item, await self._work.fault(job, task))
        else:
            self._took(item, outcome)

    def _took(self, item: _Item, outcome: Ended | Unsure) -> None:
        if isinstance(outcome, Unsure):
            self._put_back(item._replace(unsure=outcome))
            return
        self._ended.append(outcome)
        repeat = self._next_repeat(outcome)
        if repeat is not None:
            self._later.append(_Item(item.number, repeat))

    def _put_back(self, item: _Item) -> None:
        self._later.append(item._replace(due=monotonic() + LOOK_AGAIN_S))

    async def _write(self) -> None:
        """Write ends down every moment, so that progress shows. What is not written is found again by its result."""
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            try:
                await self._flush()
            except STORE_ERRORS as exc:
                log.warning("line_ends_not_written", batch_id=self._job.batch_id, reason=type(exc).__name__)

    async def _flush(self) -> None:
        if self._ended:
            ended = list(self._ended)
            await self._store.end_lines(self._job.batch_id, ended)
            del self._ended[: len(ended)]

    async def _flush_all(self) -> bool:
        while not self._job.lost:
            try:
                await self._flush()
            except STORE_ERRORS as exc:
                log.warning("line_ends_not_written", batch_id=self._job.batch_id, reason=type(exc).__name__)
                await asyncio.sleep(LOOK_AGAIN_S)
            else:
                return True
        return False
