"""What the three records say once traffic has ended: Kafka's topics, settlement's tables, ClickHouse's rows."""

import asyncio
import os
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas import topics
from tests.e2e.driver import Driver

LOADED = (topics.REQUESTS, topics.ATTEMPTS, topics.LEDGER, topics.ALERTS)
CHECKOUT = Path(__file__).parent.parent.parent


@dataclass
class Topic:
    """Distinct event ids of one topic, and what they are."""

    ids: set[str] = field(default_factory=set)
    ids_by_type: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    events: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, event: dict[str, Any]) -> None:
        self.ids.add(event["event_id"])
        self.ids_by_type[event["type"]].add(event["event_id"])
        self.events[event["event_id"]] = event


async def read_topics(bootstrap_servers: str) -> dict[str, Topic]:
    """Every event in the loaded topics, from offset 0 to the end as it is now."""
    found = {name: Topic() for name in LOADED}
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [
            TopicPartition(n, p) for n in LOADED for p in sorted(consumer.partitions_for_topic(n) or await _partitions(n))
        ]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        while any([await consumer.position(p) < ends[p] for p in partitions]):
            for partition, records in (await consumer.getmany(timeout_ms=500)).items():
                for record in records:
                    found[partition.topic].add(orjson.loads(record.value))
    finally:
        await consumer.stop()
    return found


async def _partitions(topic: str) -> set[int]:
    return set(range(topics.topics()[topic].partitions))


async def settled(driver: Driver, within_s: float = 120) -> dict[str, Any]:
    """Wait until settlement has posted everything: no lag, no open hold, nothing left to publish."""
    deadline = time.monotonic() + within_s
    while True:
        lag = await driver.asked_again("settlement", "/admin/lag")
        waiting = (
            sum(row["lag"] for row in lag["partitions"]) + lag["outbox_pending"] + lag["ingress_pending"] + lag["open_holds"]
        )
        if waiting == 0:
            return dict(lag)
        assert time.monotonic() < deadline, f"not settled after {within_s} s: {lag}"
        await asyncio.sleep(0.25)


async def loaded(driver: Driver, within_s: float = 120) -> dict[str, Topic]:
    """Wait until ClickHouse has a row for every event in Kafka; both counts must be equal per topic."""
    deadline = time.monotonic() + within_s
    while True:
        kafka = await read_topics(driver.stack["kafka_bootstrap_servers"])
        counts = await _counts(driver)
        want = {name: len(topic.ids) for name, topic in kafka.items()}
        have = {name: counts[name]["distinct_event_ids"] for name in counts}
        rows = {name: counts[name]["rows"] for name in counts}
        if want == have == rows:
            return kafka
        assert time.monotonic() < deadline, f"Kafka has {want}, ClickHouse has {have} events in {rows} rows"
        await asyncio.sleep(0.5)


async def _counts(driver: Driver) -> dict[str, dict[str, int]]:
    """Rows per loaded topic; nothing while analytics is starting again."""
    try:
        counts = await driver.admin("analytics", "/admin/counts")
    except httpx.TransportError:
        return {}
    return {name: counts[name] for name in LOADED}


def inbox_ids(dsn: str) -> set[str]:
    """Ids of the events that settlement has consumed."""
    with psycopg.connect(dsn) as connection:
        return {str(row[0]) for row in connection.execute("SELECT event_id FROM settlement.inbox")}


def ledger_check(stack: dict[str, Any]) -> None:
    """Settlement's own invariants on the live database; any violation fails with what the command printed."""
    environment = os.environ | {
        "DATABASE_URL": stack["postgres_dsn"],
        "KAFKA_BOOTSTRAP_SERVERS": stack["kafka_bootstrap_servers"],
    }
    done = subprocess.run(
        [sys.executable, "-m", "services.settlement.check"],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
