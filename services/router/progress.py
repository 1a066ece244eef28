"""Signs of life of streams: each renews its hold's deadline and says how much the client has seen so far."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from time import monotonic

import orjson
import structlog

from schemas.calls import HoldProgress
from schemas.envelope import now
from services.router import metrics
from services.router.errors import LedgerUnavailableError
from services.router.ledger import Ledger
from services.router.stream_progress import StreamProgress

BEAT_S = 2.0
BEAT_TOKENS = 512
TICK_S = 0.25
LEASE = timedelta(seconds=60)
HOLDS_PER_CALL = 1_000

log = structlog.get_logger(__name__)


class ProgressReporter:
    """Reports every open stream every 2 s, one that has put out 512 tokens since its last report at once, and one whose first
    content has come within 250 ms: a hold that expires should know that something was streamed. Many go in one call, and a
    stream that ends sooner costs none."""

    def __init__(self, ledger: Ledger, lease: timedelta = LEASE) -> None:
        self._ledger = ledger
        self.lease = lease
        self._open: set[StreamProgress] = set()
        self._urgent = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to report."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End reporting."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def open(self, progress: StreamProgress) -> None:
        """Report the stream from now on."""
        self._open.add(progress)

    def close(self, progress: StreamProgress) -> None:
        """The stream is over."""
        self._open.discard(progress)

    def advance(self, progress: StreamProgress, output_tokens: int) -> None:
        """The stream has put out so many tokens in all."""
        progress.output_tokens = output_tokens
        if output_tokens - progress.reported_tokens >= BEAT_TOKENS:
            self._urgent.set()

    async def _run(self) -> None:
        beat_at = monotonic() + BEAT_S
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._urgent.wait()
            self._urgent.clear()
            if monotonic() >= beat_at:
                beat_at = monotonic() + BEAT_S
                due = list(self._open)
            else:
                due = [p for p in self._open if _is_due(p)]
            for start in range(0, len(due), HOLDS_PER_CALL):
                await self._report(due[start : start + HOLDS_PER_CALL])

    async def _report(self, due: list[StreamProgress]) -> None:
        deadline = now() + self.lease
        reports = []
        for progress in due:
            progress.reported_tokens = progress.output_tokens
            reports.append(
                HoldProgress(
                    hold_id=progress.hold_id,
                    deadline_at=deadline,
                    input_tokens=progress.input_tokens,
                    output_tokens=progress.output_tokens,
                )
            )
        try:
            closed = set(orjson.loads(await self._ledger.report_progress(reports))["closed"])
        except (LedgerUnavailableError, orjson.JSONDecodeError, KeyError, TypeError) as exc:
            # The lease outlives several beats, and a hold outlives its lease by the grace: the next beat tries again.
            metrics.PROGRESS_FAILURES.inc()
            log.warning("progress_not_reported", streams=len(due), reason=str(exc))
            return
        for progress in due:
            progress.closed = str(progress.hold_id) in closed


def _is_due(progress: StreamProgress) -> bool:
    ahead = progress.output_tokens - progress.reported_tokens
    return ahead >= BEAT_TOKENS or (ahead > 0 and progress.reported_tokens == 0)
