"""Starts the process of an audit, and sees to it that none outlives the API."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

import structlog

log = structlog.get_logger(__name__)
MODULE = "services.settlement.audit"
STOP_S = 5.0


class AuditProcesses:
    """At most one runs at a time, by the database's rule; the process reads its settings from the same environment.

    `lost` is told, in a thread, of an audit whose process has failed: its row may still say that it runs.
    """

    def __init__(self, lost: Callable[[UUID, int], None]) -> None:
        self._lost = lost
        self._watched: dict[asyncio.Task[None], asyncio.subprocess.Process] = {}

    async def start(self, audit_id: UUID) -> None:
        """Start the audit's process; it tells the database what becomes of it."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", MODULE, str(audit_id), stdin=asyncio.subprocess.DEVNULL
        )
        watch = asyncio.create_task(self._watch(audit_id, process))
        self._watched[watch] = process
        watch.add_done_callback(lambda task: self._watched.pop(task, None))

    async def stop(self) -> None:
        """End what still runs: its audit counts as failed."""
        watched = dict(self._watched)
        for process in watched.values():
            with suppress(ProcessLookupError):
                process.terminate()
        if watched:
            await asyncio.wait(watched, timeout=STOP_S)
        for task, process in watched.items():
            if not task.done():
                with suppress(ProcessLookupError):
                    process.kill()

    async def _watch(self, audit_id: UUID, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        if status != 0:
            log.error("audit_failed", audit_id=str(audit_id), exit_status=status)
            await asyncio.to_thread(self._lost, audit_id, status)
