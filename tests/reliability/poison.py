"""Poison: ten thousand records that no reader can use, between good ones; all are set aside, none stops a partition.

`python -m tests.reliability.poison --messages 10000`. Over a real broker, with one worker process. The topic is made to take
records of more than a megabyte, which as it is described the broker itself refuses. Ends with 1 when a record is lost, settled
or set aside for another reason than its own.
"""

import argparse
import asyncio
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import md5
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError

from deploy.local.topics import settings_of
from schemas import topics
from schemas.attempts import RequestCompleted
from schemas.calls import HoldRequest
from schemas.topics import topics as described
from services.settlement.database import connect
from services.settlement.partitions import partition_of
from tests.integration.settlement.ledger import running_ledger
from tests.integration.settlement.requests_made import attempt_on, completion
from tests.reliability.books import Books, read_books
from tests.reliability.ground import Ground, ground
from tests.reliability.poison_kinds import KINDS, TEN_MEGABYTES, Raw
from tests.reliability.poison_redrive import redrive
from tests.reliability.population import accounts, placed
from tests.reliability.progress import Progress
from tests.reliability.worker_run import TIMEOUT_MS, worker

ACCOUNTS = 8
LARGE_AT_MOST = 20
"""Of the ten-megabyte kind, so that the topic does not grow beyond reason."""
MAX_BYTES = 4 * TEN_MEGABYTES
BATCH_BYTES = 900_000
PATIENCE_S = 90.0


@dataclass(frozen=True, slots=True)
class Report:
    """How many records there were, for what reasons they were set aside, and what is wrong."""

    poison: int
    good: int
    kinds: int
    reasons: dict[str, int]
    seconds: float
    redriven: int
    wrong: list[str]

    def __str__(self) -> str:
        verdict = "all set aside for their own reason, every good one settled" if not self.wrong else f"WRONG: {self.wrong[:5]}"
        sizes = f"{self.poison:,} poison messages of {self.kinds} kinds between {self.good:,} good ones"
        return f"{sizes}, read in {self.seconds:.0f} s: {verdict}; {self.reasons}; {self.redriven} mended and redriven"


def prove(on: Ground, messages: int, *, progress: Progress) -> Report:
    """Write poison and good events in turn, let the worker read them, account for every one, and have the poison read again."""
    with running_ledger(on.database_url) as ledger:
        names = accounts(ledger, ACCOUNTS)
        good = placed(ledger, names, messages)
        ledger.as_owner("delete from consumer_offset")
        records, reasons = _records(good)
        asyncio.run(_write(on.kafka, names, records))
        progress.say(f"{len(records):,} records are written")
        with worker(on) as run:
            seconds = run.until_read(len(records), progress)
            run.until_published()
        books = read_books(on.database_url)
        wrong = _wrong(on, books, Counter(reasons[digest(r.key, r.value)] for r in records[::2]), reasons)
        progress.say("all are read: the dead letters are read again")
        redriven, wrong_again = redrive(ledger, names[0])
    return Report(messages, len(good), len(KINDS), books.dead_letters, seconds, redriven, wrong + wrong_again)


def _records(good: Sequence[HoldRequest]) -> tuple[list[Raw], dict[str, str]]:
    """For each hold a poison record and then its event; and the reason that is right for each poison record."""
    dice = random.Random(4)
    records: list[Raw] = []
    reasons: dict[str, str] = {}
    for number, hold in enumerate(good):
        kind = KINDS[number % len(KINDS)]
        if kind.reason == "too_large" and number // len(KINDS) >= LARGE_AT_MOST:
            kind = KINDS[0]
        # What is made poison is an event of its own: were it read by mistake, its request would be completed twice.
        bad = kind.make(hold.account_id, charged(hold).to_json(), dice)
        records += [bad, Raw(hold.account_id.encode(), charged(hold).to_json())]
        reasons[digest(bad.key, bad.value)] = kind.reason
    return records, reasons


def _wrong(on: Ground, books: Books, wanted: Counter[str], reasons: dict[str, str]) -> list[str]:
    wrong = list(books.broken)
    if books.dead_letters != wanted:
        wrong.append(f"reasons are {books.dead_letters}, but {dict(wanted)} are right")
    with connect(on.database_url, statement_timeout_ms=TIMEOUT_MS, analytic=True) as connection:
        rows = connection.execute("select key, payload, reason from dead_letter").fetchall()
        wrong += [f"{reason}: {payload[:60]!r}" for key, payload, reason in rows if reasons.get(digest(key, payload)) != reason]
        unsettled = connection.execute("select count(*) from hold where state = 'HELD'").fetchone()
    if unsettled != (0,):
        wrong.append(f"{unsettled} good events were not settled")
    if books.cases:
        wrong.append(f"there are cases: {books.cases}")
    return wrong


def charged(hold: HoldRequest) -> RequestCompleted:
    """The request's end, with what it cost the operator."""
    return completion(hold, attempts=[attempt_on(hold, operator_cost_nano=1, operator_cost_currency="USD")])


def digest(key: bytes | None, value: bytes | None) -> str:
    """What a record is known by: made of the bytes alone."""
    return md5(repr((key, value)).encode()).hexdigest()


async def _write(kafka: str, names: Sequence[str], records: Sequence[Raw]) -> None:
    """Write the records to their accounts' partitions in this order."""
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka, acks="all", enable_idempotence=True, max_request_size=MAX_BYTES, max_batch_size=BATCH_BYTES
    )
    await producer.start()
    try:
        if await _is_taken(producer, Raw(b"", b"x" * TEN_MEGABYTES), 0):
            raise AssertionError("the topic as it is described takes a record of 10 MB")
        await _allow(kafka, MAX_BYTES)
        for number, record in enumerate(records):
            partition = partition_of(topics.ATTEMPTS, names[number // 2 % len(names)])
            if record.value is not None and len(record.value) > BATCH_BYTES:
                await _insist(producer, record, partition)
            else:
                await _send(producer, record, partition)
        await producer.flush()
    finally:
        await producer.stop()


async def _send(producer: Any, record: Raw, partition: int) -> Any:
    headers = [] if record.type is None else [("type", record.type)]
    return await producer.send(topics.ATTEMPTS, record.value, key=record.key, headers=headers, partition=partition)


async def _insist(producer: Any, record: Raw, partition: int) -> None:
    """Send until the broker has learnt what its topic may take now."""
    deadline = time.monotonic() + PATIENCE_S
    while not await _is_taken(producer, record, partition):
        assert time.monotonic() < deadline, "the broker goes on refusing large records"
        await asyncio.sleep(0.1)


async def _is_taken(producer: Any, record: Raw, partition: int) -> bool:
    """Whether the broker takes the record; it refuses what is larger than the topic allows."""
    await producer.flush()
    try:
        await (await _send(producer, record, partition))
    except MessageSizeTooLargeError:
        return False
    return True


async def _allow(kafka: str, size: int) -> None:
    """Let the topic take records of so many bytes; its other settings stay."""
    client = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await client.start()
    try:
        configs = settings_of(described()[topics.ATTEMPTS]) | {"max.message.bytes": str(size)}
        await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topics.ATTEMPTS, configs=configs)])
    finally:
        await client.close()


def main() -> int:
    """Run on engines of its own and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    messages = parser.parse_args().messages
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with ground(kafka=True) as on:
        report = prove(on, messages, progress=Progress("poison", 2 * messages))
    print(report)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
