"""The queue of messages in Postgres: who waits, claiming what a receiver may be told now, and recording what became of it.

A claim counts for a while: what a killed process had claimed is claimed again afterwards, and sent a second time at worst.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from schemas.alert_receivers import Receiver
from schemas.envelope import new_id
from services.analytics.delivery.backoff import GIVE_UP_AFTER, MESSAGE_CAP_S, RECEIVER_CAP_S, delay_s
from services.analytics.delivery.notice import Notice
from services.analytics.delivery.outcome import GivenUp, Later, Outcome, Sent
from services.analytics.delivery.pace import GATHERING, Turn, turn, within_window
from services.analytics.sqlfile import queries

Connection = psycopg.AsyncConnection[DictRow]
Pool = AsyncConnectionPool[Connection]
MAX_CONNECTIONS = 4
POOL_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_MS = 5_000
MOST_ROWS = 500
"""Changes that one message tells of at most."""
LEASE = timedelta(seconds=40)
"""Longer than an attempt takes; a killed process's messages are tried again after it."""
ORPHANS_AFTER = timedelta(minutes=2)
"""A receiver that the rule file does not name any more may be on its way back: another version of the file is being put."""
OPEN_SINCE = timedelta(days=7)
AWAY = (psycopg.Error, OSError, TimeoutError)


class Due(NamedTuple):
    """A receiver for which something waits; `ready` where it can be tried now."""

    receiver: str
    waiting: int
    oldest: datetime
    ready: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """One change that a receiver is to be told of."""

    delivery_id: UUID
    notice: Notice
    attempts: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """What is told in one message, by this process alone until the lease ends."""

    claim_id: UUID
    receiver: str
    rows: tuple[Waiting, ...]
    failures: int
    at: datetime


def new_pool(database_url: str) -> Pool:
    """Connections for the queue; `open` it inside the running loop."""
    return AsyncConnectionPool(
        database_url,
        min_size=0,
        max_size=MAX_CONNECTIONS,
        timeout=POOL_TIMEOUT_S,
        open=False,
        connection_class=psycopg.AsyncConnection[DictRow],
        kwargs={
            "row_factory": dict_row,
            "autocommit": True,
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
            "application_name": "tollbook-analytics-delivery",
        },
        check=AsyncConnectionPool.check_connection,
    )


class Queue:
    """The tables `analytics.delivery` and `analytics.delivery_receiver`. Raises what is in `AWAY` while Postgres is away."""

    def __init__(self, pool: Pool, *, lease: timedelta = LEASE) -> None:
        self._pool = pool
        self.lease = lease

    async def due(self) -> list[Due]:
        """The receivers for which something waits."""
        return [Due(row["receiver"], row["waiting"], row["oldest"], row["ready"]) for row in await self._rows("due")]

    async def claim(self, name: str, receiver: Receiver) -> Claim | None:
        """The next message of the receiver, None where it is not to be told anything now. Lost claims are found again."""
        async with self._pool.connection() as connection, connection.transaction():
            await _run(connection, "know_receiver", receiver=name)
            how = await _first(connection, "lock_receiver", receiver=name)
            if how is None:
                return None
            found = await _all(connection, "waiting_rows", receiver=name, limit=MOST_ROWS)
            wanted = [row for row in found if row["event"] in receiver.events]
            await self._skip(connection, [row["delivery_id"] for row in found if row["event"] not in receiver.events])
            next_turn = turn(how["recent"], receiver.per_minute, len(wanted), GATHERING[receiver.kind], how["at"])
            if next_turn.wait_until is not None:
                await _run(connection, "pause_receiver", receiver=name, paused_until=next_turn.wait_until)
            return await self._taken(connection, name, how, wanted, next_turn)

    async def _taken(
        self, connection: Connection, name: str, how: Mapping[str, Any], wanted: Sequence[Mapping[str, Any]], now: Turn
    ) -> Claim | None:
        if now.size == 0:
            return None
        claim_id, taken = new_id(), wanted[: now.size]
        ids = [row["delivery_id"] for row in taken]
        await _run(connection, "claim_rows", claim=claim_id, lease=self.lease, delivery_ids=ids)
        recent = [*within_window(how["recent"], how["at"]), how["at"]]
        await _run(connection, "take_turn", receiver=name, recent=recent)
        rows = tuple(
            Waiting(row["delivery_id"], Notice.model_validate(row["notice"]), row["attempts"] + 1, row["created_at"])
            for row in taken
        )
        return Claim(claim_id, name, rows, how["failures"], how["at"])

    async def _skip(self, connection: Connection, ids: list[UUID]) -> None:
        if ids:
            claim_id = new_id()
            await _run(connection, "claim_rows", claim=claim_id, lease=self.lease, delivery_ids=ids)
            ended = {"state": "skipped", "status": None, "reason": "the receiver is not told of this", "claim": claim_id}
            await _run(connection, "end_rows", delivery_ids=ids, **ended)

    async def record(self, claim: Claim, outcome: Outcome, draw: float) -> None:
        """What became of the message. Nothing where another process has claimed it since."""
        async with self._pool.connection() as connection, connection.transaction():
            match outcome:
                case Sent():
                    await _end(connection, claim, "sent", outcome.status, outcome.remark)
                    await _run(connection, "receiver_works", receiver=claim.receiver)
                case GivenUp():
                    await _end(connection, claim, "failed", outcome.status, outcome.reason)
                    await _run(connection, "receiver_refuses", receiver=claim.receiver, reason=outcome.reason)
                case Later():
                    await _put_back(connection, claim, outcome, draw)

    @asynccontextmanager
    async def still_open(self, name: str) -> AsyncIterator[list[Waiting]]:
        """The alerts of which the receiver was last told that they fire. Nothing else is claimed for it within the block, so
        that it cannot be told of an end in between. Empty where it is busy or left alone."""
        async with self._pool.connection() as connection, connection.transaction():
            await _run(connection, "know_receiver", receiver=name)
            if await _first(connection, "lock_receiver", receiver=name) is None:
                yield []
                return
            found = await _all(connection, "open_at_receiver", receiver=name, since=OPEN_SINCE)
            yield [
                Waiting(row["delivery_id"], Notice.model_validate(row["notice"]), 0, row["created_at"])
                for row in found[:MOST_ROWS]
            ]

    async def end_orphans(self, known: Sequence[str], grace: timedelta) -> int:
        """Give up what is for receivers that the rule file does not name; how many."""
        reason = "the rule file in force names no such receiver: it was removed or renamed"
        async with self._pool.connection() as connection:
            return await _run(connection, "end_orphans", known=list(known), grace=grace, reason=reason)

    async def read(self, name: str, **parameters: Any) -> list[DictRow]:
        """The rows of one of the queries that the admin calls show."""
        return await self._rows(name, **parameters)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction on the tables of analytics."""
        async with self._pool.connection() as connection, connection.transaction():
            yield connection

    async def _rows(self, name: str, **parameters: Any) -> list[DictRow]:
        async with self._pool.connection() as connection:
            return await _all(connection, name, **parameters)


async def _end(connection: Connection, claim: Claim, state: str, status: int | None, reason: str | None) -> None:
    ids = [row.delivery_id for row in claim.rows]
    await _run(connection, "end_rows", delivery_ids=ids, claim=claim.claim_id, state=state, status=status, reason=reason)


async def _put_back(connection: Connection, claim: Claim, outcome: Later, draw: float) -> None:
    """Each message waits the longer the oftener it failed, and so does the receiver: one look tells whether it is back."""
    old = [row.delivery_id for row in claim.rows if claim.at - row.created_at > GIVE_UP_AFTER]
    if old:
        reason = f"given up after {GIVE_UP_AFTER.total_seconds() / 3600:.0f} hours: {outcome.reason}"
        ended = {"state": "failed", "status": outcome.status, "reason": reason, "claim": claim.claim_id}
        await _run(connection, "end_rows", delivery_ids=old, **ended)
    tries = max(row.attempts for row in claim.rows)
    told = {"status": outcome.status, "reason": outcome.reason, "claim": claim.claim_id}
    wait_s = outcome.after_s if outcome.after_s is not None else delay_s(tries, MESSAGE_CAP_S, draw)
    left = [row.delivery_id for row in claim.rows if row.delivery_id not in old]
    await _run(connection, "put_back", delivery_ids=left, delay=timedelta(seconds=wait_s), **told)
    pause_s = outcome.after_s if outcome.after_s is not None else delay_s(claim.failures + 1, RECEIVER_CAP_S, draw)
    await _run(connection, "receiver_fails", receiver=claim.receiver, delay=timedelta(seconds=pause_s), reason=outcome.reason)


async def _run(connection: Connection, name: str, **parameters: Any) -> int:
    cursor = await connection.execute(queries("delivery.sql")[name].encode(), parameters)
    return cursor.rowcount


async def _all(connection: Connection, name: str, **parameters: Any) -> list[DictRow]:
    cursor = await connection.execute(queries("delivery.sql")[name].encode(), parameters)
    return await cursor.fetchall()


async def _first(connection: Connection, name: str, **parameters: Any) -> DictRow | None:
    found = await _all(connection, name, **parameters)
    return found[0] if found else None
