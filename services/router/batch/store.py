"""Batches in router's tables: taken in from the log, leased to one worker at a time, and their lines' ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from schemas.batches import BatchAccepted, BatchError, BatchProgress, BatchStatus
from schemas.envelope import now
from services.router.batch.lifecycle import Stopped, may_follow
from services.router.batch.results import Ended
from services.router.errors import LeaseLostError
from services.router.queries import queries

CONNECTIONS = 4
POOL_WAIT_S = 5.0
STATEMENT_TIMEOUT_MS = 10_000
UNDER_WAY_SHOWN = 500


class Leased(NamedTuple):
    """A batch that this worker has, as it was when it took it."""

    event: BatchAccepted
    status: BatchStatus
    stopped: Stopped | None
    total: int
    epoch: int
    output_file_id: str | None
    error_file_id: str | None


class BatchStore:
    """Reads and writes them. What psycopg raises is the caller's: nothing here is tried twice."""

    def __init__(self, database_url: str, *, connections: int = CONNECTIONS) -> None:
        self._pool: AsyncConnectionPool[AsyncConnection[DictRow]] = AsyncConnectionPool(
            database_url,
            min_size=0,
            max_size=connections,
            timeout=POOL_WAIT_S,
            open=False,
            connection_class=AsyncConnection[DictRow],
            kwargs={"row_factory": dict_row, "autocommit": True, "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS}"},
            check=AsyncConnectionPool.check_connection,
        )

    async def open(self) -> None:
        """Begin to connect; does not wait."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close(timeout=5)

    async def take_in(self, events: Sequence[BatchAccepted]) -> None:
        """Write batches that were read from the log; those that are known stay as they are."""
        async with self._pool.connection() as connection, connection.transaction():
            for event in events:
                row = {
                    "batch_id": event.data.batch_id,
                    "account_id": event.account_id,
                    "event": Jsonb(event.model_dump(mode="json")),
                    "now": _seconds(),
                    "expires_at": event.data.expires_at,
                }
                await connection.execute(queries("batches.sql")["take_in"], row)

    async def lease(self, worker: str, lease_s: float) -> Leased | None:
        """The batch that waits longest, None where none waits."""
        rows = await self._rows("lease", {"worker": worker, "lease_s": lease_s})
        if not rows:
            return None
        row = rows[0]
        del row["batch_id"]
        return Leased(**row | {"event": BatchAccepted.model_validate(row["event"])})

    async def renew(self, batch_id: str, epoch: int, lease_s: float, running: int) -> bool:
        """Keep the batch; whether its owner has asked to cancel it. Raises :class:`LeaseLostError`."""
        rows = await self._rows("renew", {"batch_id": batch_id, "epoch": epoch, "lease_s": lease_s, "running": running})
        if not rows:
            raise LeaseLostError(batch_id)
        return bool(rows[0]["cancelled"])

    async def release(self, batch_id: str, epoch: int) -> None:
        """Let others have the batch at once."""
        await self._rows("release", {"batch_id": batch_id, "epoch": epoch})

    async def move(
        self,
        leased: Leased,
        status: BatchStatus,
        *,
        stopped: Stopped | None = None,
        total: int | None = None,
        errors: Sequence[BatchError] | None = None,
        files: tuple[str | None, str | None] = (None, None),
    ) -> Leased:
        """The batch in its next status. Raises :class:`LeaseLostError`; ValueError for a status that does not follow."""
        if not may_follow(leased.status, status):
            raise ValueError(f"{leased.event.data.batch_id} cannot go from {leased.status} to {status}")
        row = {
            "batch_id": leased.event.data.batch_id,
            "epoch": leased.epoch,
            "status": status,
            "stopped": stopped,
            "total": total,
            "errors": None if errors is None else Jsonb([error.model_dump() for error in errors]),
            "now": _seconds(),
            "output_file_id": files[0],
            "error_file_id": files[1],
        }
        if not await self._rows("move", row):
            raise LeaseLostError(leased.event.data.batch_id)
        return leased._replace(
            status=status,
            stopped=stopped or leased.stopped,
            total=leased.total if total is None else total,
            output_file_id=files[0] or leased.output_file_id,
            error_file_id=files[1] or leased.error_file_id,
        )

    async def end_lines(self, batch_id: str, ended: Sequence[Ended]) -> None:
        """Write down how lines ended; one that has its end keeps it."""
        row = {
            "batch_id": batch_id,
            "lines": [each.line for each in ended],
            "repeats": [each.repeat for each in ended],
            "request_ids": [each.request_id for each in ended],
            "outcomes": [each.outcome for each in ended],
            "codes": [each.code for each in ended],
        }
        await self._rows("end_lines", row)

    async def lines(self, batch_id: str) -> list[Ended]:
        """Every end of every line, by line and repeat."""
        return [Ended(**row) for row in await self._rows("lines", {"batch_id": batch_id})]

    async def ask_to_cancel(self, batch_id: str) -> None:
        """Have whoever works on the batch, or will, begin no more lines."""
        await self._rows("ask_to_cancel", {"batch_id": batch_id})

    async def progress(self, ids: Sequence[str]) -> list[BatchProgress]:
        """How far those of the batches are that were taken in."""
        return [BatchProgress.model_validate(row) for row in await self._rows("progress", {"ids": list(ids)})]

    async def under_way(self) -> list[dict[str, Any]]:
        """The batches that have not ended, for the operator: who has them, and how many lines wait and run."""
        rows = await self._rows("under_way", {"limit": UNDER_WAY_SHOWN})
        return [{**row, "waiting": max(0, row["total"] - row["ended"] - row["running"])} for row in rows]

    async def _rows(self, name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(queries("batches.sql")[name], parameters)
            return await cursor.fetchall() if cursor.description is not None else []


def _seconds() -> int:
    return int(now().timestamp())
