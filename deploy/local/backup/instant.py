"""The one instant of a backup: a snapshot of Postgres and the ends of Kafka's partitions that belong to it.

For as long as the ends are being read, some milliseconds, three tables take no writes: settlement's outbox, through which
every hold and every posting goes, and edge's two outboxes. So no fact is committed between the snapshot and the ends, and
every record below an end speaks of facts that the snapshot has. Nothing else stands still.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from psycopg import sql
from psycopg.rows import TupleRow

from deploy.local.backup.errors import BackupError
from schemas import topics

Connection = psycopg.Connection[TupleRow]
FACTS_LEAVE_BY = ("settlement.outbox", "edge.control_outbox", "edge.batch")
SERVICES = ("settlement", "router", "edge", "analytics")
LOCK_TIMEOUT_MS = 300
"""Less than Postgres waits before it looks for a deadlock (1 s): a wait of ours never ends somebody else's transaction."""
TRIES = 200
PAUSE_S = 0.3
ENDS_TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Instant:
    """`snapshot` is valid while the block that gave it lasts. `held_ms` is how long no fact could be committed."""

    snapshot: str
    at_s: float
    held_ms: float
    ends: Mapping[TopicPartition, int]
    settled: Mapping[str, int]
    checkpoint_size: int
    postgres_version: str
    migrations: Mapping[str, list[str]]


def kept_topics() -> list[str]:
    """The topics that are kept for ever. What has an age is advice, and is not missed."""
    return [name for name, topic in topics.topics().items() if topic.retention_ms == -1]


def partitions() -> list[TopicPartition]:
    """Their partitions."""
    return [TopicPartition(name, number) for name in kept_topics() for number in range(topics.topics()[name].partitions)]


@asynccontextmanager
async def instant(dsn: str, consumer: AIOKafkaConsumer) -> AsyncIterator[Instant]:
    """Take the instant, and keep its snapshot until the block ends. Raises BackupError, psycopg.Error, KafkaError."""
    with psycopg.connect(dsn, autocommit=True) as holder, psycopg.connect(dsn, autocommit=True) as reader:
        with _holding(holder) as since:
            reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            snapshot = _one(reader, "SELECT pg_export_snapshot()")
            try:
                async with asyncio.timeout(ENDS_TIMEOUT_S):
                    ends = await consumer.end_offsets(partitions())
            except TimeoutError as error:
                raise BackupError("Kafka does not say where its topics end: see that it is well, then try again") from error
            at_s = time.time()
        yield Instant(
            snapshot=snapshot,
            at_s=at_s,
            held_ms=(time.monotonic() - since) * 1000,
            ends=ends,
            settled=_settled(reader),
            checkpoint_size=_one(reader, "SELECT coalesce(max(size), 0) FROM settlement.seal_checkpoint"),
            postgres_version=_one(reader, "SHOW server_version"),
            migrations={service: _migrations(reader, service) for service in SERVICES},
        )


@contextmanager
def _holding(connection: Connection) -> Iterator[float]:
    """Keep the tables from being written; yields since when, on the monotonic clock."""
    _lock(connection)
    since = time.monotonic()
    try:
        yield since
    finally:
        connection.execute("ROLLBACK")


def _lock(connection: Connection) -> None:
    """Wait in short turns: whoever writes meanwhile waits behind us, and never for longer than one of them."""
    tables = sql.SQL(", ").join(sql.Identifier(*name.split(".")) for name in FACTS_LEAVE_BY)
    connection.execute(sql.SQL("SET lock_timeout = {}").format(LOCK_TIMEOUT_MS))
    for _ in range(TRIES):
        connection.execute("BEGIN")
        try:
            connection.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(tables))
        except psycopg.errors.LockNotAvailable:
            connection.execute("ROLLBACK")
            time.sleep(PAUSE_S)
        except psycopg.errors.UndefinedTable as missing:
            connection.execute("ROLLBACK")
            raise BackupError("the database has not all tables of Tollbook: start the whole stack first") from missing
        else:
            return
    raise BackupError("a transaction has been writing to the ledger for a minute without an end: look at pg_stat_activity")


def _settled(connection: Connection) -> dict[str, int]:
    rows = connection.execute("SELECT topic, partition, next FROM settlement.consumer_offset ORDER BY topic, partition")
    return {f"{topic}/{partition}": following for topic, partition, following in rows}


def _migrations(connection: Connection, service: str) -> list[str]:
    table = sql.Identifier(service, "_yoyo_migration")
    rows = connection.execute(sql.SQL("SELECT migration_id FROM {} ORDER BY migration_id").format(table))
    return [name for (name,) in rows]


def _one(connection: Connection, statement: str) -> Any:
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


def check_covered(found: Instant) -> None:
    """Raise BackupError where the ledger has read further than Kafka has records: one of the two was replaced."""
    for place, following in found.settled.items():
        topic, _, partition = place.rpartition("/")
        end = found.ends.get(TopicPartition(topic, int(partition)))
        if end is not None and following > end:
            raise BackupError(f"the ledger has settled {place} up to {following}, and Kafka has only {end} records of it")
