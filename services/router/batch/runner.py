"""One batch under a lease: its file checked, its lines worked on a bounded number at a time, its files written."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import NamedTuple

import structlog

from schemas.batches import BatchStatus
from schemas.envelope import now
from services.router import metrics
from services.router.batch.job import Job
from services.router.batch.lifecycle import after_files, after_lines
from services.router.batch.line_queue import STORE_ERRORS, LineQueue
from services.router.batch.line_work import LineWork
from services.router.batch.object_store import Objects
from services.router.batch.output import Finished, new_files, write_files
from services.router.batch.source import Source, open_source
from services.router.batch.store import BatchStore, Leased
from services.router.errors import LeaseLostError

log = structlog.get_logger(__name__)


class RunnerLimits(NamedTuple):
    """Lines at once in one batch, and how long a lease lasts, in seconds."""

    lines: int
    lease_s: float


class Runner:
    """Works on leased batches, each in a call of :meth:`run`."""

    def __init__(self, store: BatchStore, objects: Objects, work: LineWork, worker: str, limits: RunnerLimits) -> None:
        self._store = store
        self._objects = objects
        self._work = work
        self._worker = worker
        self._limits = limits
        self._jobs: set[Job] = set()
        self._closing = False

    def close(self) -> None:
        """Begin no more lines; each batch is let go of when its own under way are over."""
        self._closing = True

    async def run(self, leased: Leased) -> None:
        """Bring the batch to its end, or as far as this worker may."""
        job = Job(leased.event, worker=self._worker, epoch=leased.epoch, stopped=leased.stopped, clock=monotonic)
        self._jobs.add(job)
        keeper = asyncio.create_task(self._keep(job))
        try:
            await self._run(job, leased)
        except LeaseLostError:
            log.warning("batch_lease_lost", batch_id=job.batch_id)
        finally:
            self._jobs.discard(job)
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            if not job.lost:
                await self._store.release(job.batch_id, job.epoch)

    async def _run(self, job: Job, leased: Leased) -> None:
        source, errors = await open_source(self._objects, leased.event, first=leased.status == "validating")
        try:
            if errors:
                await self._end(leased, "failed", errors=errors)
                await self._objects.delete_under(f"batches/{job.batch_id}")
                return
            if leased.status == "validating":
                leased = await self._store.move(leased, "in_progress", total=source.total)
            if leased.status == "in_progress":
                queue = LineQueue(self._store, self._work, job, source, closing=lambda: self._closing)
                if not await queue.work(self._limits.lines):
                    return
                ends = await self._store.lines(job.batch_id)
                files = new_files(ends, source.total)
                error = None if job.error is None else [job.error]
                following = after_lines(job.stopped)
                leased = await self._store.move(leased, following, stopped=job.stopped, errors=error, files=files)
            await self._finish(leased, source)
        finally:
            source.close()

    async def _finish(self, leased: Leased, source: Source) -> None:
        data = leased.event.data
        ends = await self._store.lines(data.batch_id)
        finished = Finished(data.batch_id, data.key.project_id, leased.stopped, source, ends)
        await write_files(self._objects, finished, (leased.output_file_id, leased.error_file_id))
        await self._end(leased, after_files(leased.stopped))
        await self._objects.delete_under(f"batches/{data.batch_id}")

    async def _end(self, leased: Leased, status: BatchStatus, **more: object) -> None:
        await self._store.move(leased, status, **more)  # type: ignore[arg-type]
        metrics.BATCHES_ENDED.labels(status=status).inc()
        log.info("batch_ended", batch_id=leased.event.data.batch_id, status=status)

    async def _keep(self, job: Job) -> None:
        """Renew the lease, and hear what its owner wants. A lease that cannot be renewed for its whole length is lost."""
        until = monotonic() + self._limits.lease_s
        while True:
            job.look_at_clock(now())
            asked = monotonic()
            try:
                if await self._store.renew(job.batch_id, job.epoch, self._limits.lease_s, job.calling):
                    job.cancel()
                until = asked + self._limits.lease_s
            except LeaseLostError:
                job.lost = True
                return
            except STORE_ERRORS as exc:
                log.warning("batch_lease_not_renewed", batch_id=job.batch_id, reason=type(exc).__name__)
                if monotonic() > until:
                    job.lost = True
                    return
            await asyncio.sleep(min(1.0, self._limits.lease_s / 4))
