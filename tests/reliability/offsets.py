"""Moves offsets about under the worker's feet, one way after the other, and looks what comes of it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import OffsetAndMetadata

from schemas import topics
from schemas.calls import HoldRequest
from schemas.envelope import now
from services.settlement.consumer import SettlementLoop
from services.settlement.database import connect
from services.settlement.partitions import partition_of
from services.settlement.sweeper import Sweeper
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.processes import complete
from tests.integration.settlement.requests_made import completion, hold_for
from tests.reliability.ground import Ground
from tests.reliability.loop_run import GROUP, TIMEOUT_MS, settlement_loop
from tests.reliability.progress import Progress
from tests.reliability.tamperings import TAMPERINGS, UNREAD, Outcome, Tampering

HOLDER = "tampered"
FUNDS_NANO = 100_000_000_000
CHARGE_NANO = 1_375_000
PATIENCE_S = 90.0


class Offsets:
    """One account's partition, of which everything written was settled before each tampering."""

    def __init__(self, on: Ground, ledger: Ledger) -> None:
        self._on = on
        self._ledger = ledger
        self._partition = partition_of(topics.ATTEMPTS, HOLDER)
        self._charged = 0
        self._skipped = 0
        ledger.top_up(HOLDER, "credit", "100")
        ledger.as_owner("delete from consumer_offset")

    def prove(self, progress: Progress) -> dict[str, Outcome]:
        """Every tampering and what came of it. Fails when that is not what must."""
        self._settle()
        found: dict[str, Outcome] = {}
        for tampering in TAMPERINGS:
            found[f"ledger: {tampering.name}"] = self._try(tampering)
            progress.say(f"{tampering.name}: {tampering.outcome}")
        for name, offset in {"forward": 10**6, "back": 0}.items():
            asyncio.run(self._commit_to_kafka(offset))
            self._settle()
            found[f"Kafka's group: {name}"] = "harmless"
        self._settle(group="one that Kafka does not know")
        found["Kafka's group: removed"] = "harmless"
        found["the inbox emptied, and back"] = self._without_inbox()
        found["unread records removed from the topic"] = self._without_records()
        self._ledger.assert_sound()
        return found

    def _try(self, tampering: Tampering) -> Outcome:
        before = self._row()
        if tampering.while_working:
            with self._loop() as loop:
                self._until(lambda: self._partition in loop.reading)
                self._tamper(tampering)
                self._write(UNREAD)
                found = self._watch(loop)
        else:
            self._write(UNREAD, overdue=tampering.outcome == "flagged")
            if tampering.outcome == "refused":
                with suppress(psycopg.errors.CheckViolation):
                    self._tamper(tampering)
                    raise AssertionError(f"the database took it: {tampering.name}")
                self._settle()
                return "refused"
            self._tamper(tampering)
            with self._loop() as loop:
                found = self._watch(loop, skipped=tampering.outcome == "flagged")
        assert found == tampering.outcome, (tampering, found)
        if found == "halted":
            self._restore(before)
            self._settle()
        return found

    def _watch(self, loop: SettlementLoop, *, skipped: bool = False) -> Outcome:
        """What the loop does with the unread events: settles them all, stops, or passes over them until they expire."""
        before = self._postings()
        if skipped:
            self._until(lambda: self._partition in loop.reading)
            self._until(lambda: asyncio.run(self._sweeper().sweep()) + self._expired() >= self._skipped + UNREAD)
            self._skipped += UNREAD
            self._charged -= UNREAD
            assert self._cases("expired_hold") == self._skipped
            return "flagged"
        self._until(lambda: loop.halted is not None or self._is_settled())
        if loop.halted is not None:
            assert self._postings() == before, "the worker posted before it stopped"
            return "halted"
        return "harmless"

    def _without_inbox(self) -> Outcome:
        """Nothing remembers the events any more: their requests are settled all the same, so that each is a case."""
        events = self._ledger.count("inbox")
        self._ledger.as_owner("truncate inbox")
        self._ledger.as_owner("update consumer_offset set next = first, consumed = 0")
        postings = self._postings()
        with self._loop():
            self._until(lambda: self._ledger.count("inbox") >= events)
        assert self._is_settled()
        assert self._cases("second_completion") == events
        assert self._postings() == postings
        return "flagged"

    def _without_records(self) -> Outcome:
        before = self._row()
        self._write(UNREAD)
        asyncio.run(self._remove_records())
        with self._loop() as loop:
            self._until(lambda: loop.halted is not None)
        self._charged -= UNREAD
        assert self._row()["next"] == before["next"]
        assert self._is_settled()
        return "halted"

    def _write(self, count: int, *, overdue: bool = False) -> None:
        """Events of new requests, each of which must be charged."""
        deadline = now() + timedelta(seconds=-60 if overdue else 3600)
        holds: list[HoldRequest] = [hold_for(HOLDER, deadline_at=deadline) for _ in range(count)]
        assert all(answer["status"] == "held" for answer in self._ledger.hold(*holds))
        complete(self._on.kafka, [completion(hold) for hold in holds])
        self._charged += count

    def _settle(self, group: str = GROUP) -> None:
        """Let a worker read to the end: everything written is charged once."""
        self._write(1)
        with self._loop(group):
            self._until(self._is_settled)

    def _is_settled(self) -> bool:
        posted, _ = self._ledger.balance(HOLDER)
        charged = (FUNDS_NANO - posted) // CHARGE_NANO
        assert charged <= self._charged, f"{charged} requests are charged, {self._charged} were made"
        return charged == self._charged

    def _tamper(self, tampering: Tampering) -> None:
        asked = {"topic": topics.ATTEMPTS, "partition": self._partition}
        with connect(self._ledger.owner_url, statement_timeout_ms=TIMEOUT_MS) as connection:
            connection.execute(tampering.statement.encode(), asked)

    def _row(self) -> dict[str, Any]:
        query = "select next, consumed, first, settled from consumer_offset where partition = %s"
        return self._ledger.rows(query, self._partition)[0]

    def _restore(self, row: dict[str, Any]) -> None:
        query = (
            "update consumer_offset set next = %(next)s, consumed = %(consumed)s, first = %(first)s, settled = %(settled)s"
            " where partition = %(partition)s"
        )
        self._ledger.connection.execute(query, {**row, "partition": self._partition})

    @contextmanager
    def _loop(self, group: str = GROUP) -> Iterator[SettlementLoop]:
        with settlement_loop(self._on, self._ledger.books, group=group) as loop:
            yield loop

    def _sweeper(self) -> Sweeper:
        return Sweeper(
            bootstrap_servers=self._on.kafka,
            connect=partial(connect, self._ledger.url, statement_timeout_ms=TIMEOUT_MS),
            books=self._ledger.books,
            grace_s=0,
            interval_s=1,
            case_owner="proof",
            case_max_age_days=1,
        )

    async def _commit_to_kafka(self, offset: int) -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._on.kafka, group_id=GROUP, enable_auto_commit=False)
        await consumer.start()
        partition = TopicPartition(topics.ATTEMPTS, self._partition)
        consumer.assign([partition])
        await consumer.commit({partition: OffsetAndMetadata(offset, "")})
        await consumer.stop()

    async def _remove_records(self) -> None:
        client = AIOKafkaAdminClient(bootstrap_servers=self._on.kafka)
        await client.start()
        await client.delete_records({TopicPartition(topics.ATTEMPTS, self._partition): RecordsToDelete(before_offset=-1)})
        await client.close()

    def _postings(self) -> int:
        return self._ledger.count("posting")

    def _expired(self) -> int:
        return len(self._ledger.rows("select from hold where state = 'EXPIRED'"))

    def _cases(self, kind: str) -> int:
        return len(self._ledger.rows('select from "case" where kind = %s', kind))

    @staticmethod
    def _until(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "it did not come to pass"
            time.sleep(0.02)
