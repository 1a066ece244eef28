"""Postgres as the test sees it: what is committed, who waits for what, and locks of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row

from schemas import topics
from services.settlement.database import connect
from services.settlement.ledger_check import Finding, check

HOLDS = """
select h.id::text, h.request_id::text, h.detail->'tags'->>'probe' as probe, h.state, h.account, h.bucket, h.currency,
    h.amount_nano, h.captured_nano, h.released_nano, h.progress_input, h.progress_output, h.detail->'candidates' as candidates,
    h.expires_at, h.expires_at < clock_timestamp() - %(grace_s)s * interval '1 second' as overdue
from settlement.hold h where h.detail->'tags'->>'probe' = any(%(probes)s)
"""
SESSIONS = """
select s.pid, s.state, s.wait_event_type, s.xact_start is not null as in_transaction,
    exists (select from pg_locks l where l.pid = s.pid and l.granted and l.mode = 'RowExclusiveLock'
        and l.relation = 'settlement.posting'::regclass) as has_posted
from pg_stat_activity s where s.datname = current_database() and s.application_name = %(name)s
"""
POLL_S = 0.02


class Ledger:
    """Questions to settlement's tables, on a connection that no proxy touches."""

    def __init__(self, url: str, *, grace_s: float) -> None:
        self._url = url
        self._grace_s = grace_s
        self._connection: psycopg.AsyncConnection[dict[str, Any]] | None = None

    async def start(self) -> None:
        """Connect."""
        self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True, row_factory=dict_row)

    async def stop(self) -> None:
        """Disconnect."""
        assert self._connection is not None
        await self._connection.close()

    async def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """A query's rows."""
        assert self._connection is not None
        cursor = await self._connection.execute(sql.encode(), parameters)
        return await cursor.fetchall()

    async def holds(self, probes: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
        """The holds of each request, by its probe."""
        found: dict[str, list[dict[str, Any]]] = {probe: [] for probe in probes}
        for row in await self.rows(HOLDS, probes=list(found), grace_s=self._grace_s):
            found[row["probe"]].append(row)
        return found

    async def receipts(self, request_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The receipts' rows by request."""
        rows = await self.rows(
            "select request_id::text, status, charge_nano, overrun_nano, written_off_nano from settlement.receipt"
            " where request_id::text = any(%(ids)s)",
            ids=list(request_ids),
        )
        return {row["request_id"]: row for row in rows}

    async def ends(self, hold_id: str) -> list[str]:
        """The kinds of the transactions that ended the hold, or came after its end."""
        rows = await self.rows("select kind from settlement.txn where hold_id = %(id)s::uuid order by committed_at", id=hold_id)
        return [row["kind"] for row in rows]

    async def cases(self, hold_id: str) -> list[dict[str, Any]]:
        """The cases about the hold."""
        return await self.rows(
            'select kind, exposure_nano, currency from settlement."case" where hold_id = %(id)s::uuid', id=hold_id
        )

    async def waiting(self) -> dict[str, int]:
        """What waits to leave, and which holds are open."""
        [row] = await self.rows(
            "select (select count(*) from settlement.outbox) as outbox, (select count(*) from settlement.ingress) as ingress,"
            " (select count(*) from settlement.hold where state = 'HELD') as open_holds"
        )
        return row

    async def offsets(self) -> dict[int, int]:
        """The ledger's next offset of the attempts topic, by partition."""
        rows = await self.rows(
            "select partition, next from settlement.consumer_offset where topic = %(topic)s", topic=topics.ATTEMPTS
        )
        return {row["partition"]: row["next"] for row in rows}

    async def inbox(self) -> set[str]:
        """Ids of the events that settlement has consumed."""
        return {row["id"] for row in await self.rows("select event_id::text as id from settlement.inbox")}

    async def balance(self, holder: str, bucket: str) -> dict[str, Any]:
        """The row of a customer's own bucket."""
        [row] = await self.rows(
            "select account, posted, held, overrun from settlement.bucket_balance where holder = %(holder)s"
            " and bucket = %(bucket)s and run = ''",
            holder=holder,
            bucket=bucket,
        )
        return row

    async def session(self, name: str) -> dict[str, Any] | None:
        """What the process's connection of this name does now."""
        rows = await self.rows(SESSIONS, name=name)
        return rows[0] if rows else None

    async def until_session(self, name: str, **wanted: Any) -> dict[str, Any]:
        """Wait until the connection is in this state."""
        async with asyncio.timeout(20):
            while True:
                found = await self.session(name)
                if found is not None and all(found[field] == value for field, value in wanted.items()):
                    return found
                await asyncio.sleep(POLL_S)

    async def until_gone(self, name: str) -> None:
        """Wait until Postgres has noticed that the connection's process is dead, and undone what it left open."""
        async with asyncio.timeout(20):
            while await self.session(name) is not None:  # noqa: ASYNC110 - Postgres tells nobody
                await asyncio.sleep(POLL_S)

    @asynccontextmanager
    async def locked_bucket(self, account: int) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """Hold the bucket's row until the block ends; everybody who moves its money waits meanwhile."""
        connection = await psycopg.AsyncConnection.connect(self._url)
        try:
            await connection.execute("select from settlement.bucket_balance where account = %s for update", (account,))
            yield connection
        finally:
            await connection.close()

    async def violations(self, patience_s: float) -> list[Finding]:
        """The invariants that do not hold, of I1 to I10 and I13."""

        def run() -> list[Finding]:
            connection = connect(self._url, statement_timeout_ms=60_000, name="crash-check", analytic=True)
            try:
                return [finding for finding in check(connection, patience_s=patience_s) if not finding.ok]
            finally:
                connection.close()

        return await asyncio.to_thread(run)
