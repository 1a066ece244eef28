"""What Kafka holds, read without the loader: the truth that ClickHouse is compared with."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer


async def events_of(bootstrap_servers: str, topic: str) -> list[dict[str, Any]]:
    """Every event of the topic, from its first record to its last."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap_servers, group_id=None, auto_offset_reset="earliest")
    async with consumer:
        found: list[dict[str, Any]] = []
        for partition, end in (await consumer.end_offsets(list(consumer.assignment()))).items():
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(partition, timeout_ms=1000)).values():
                    found += [orjson.loads(record.value) for record in records]
        return found


async def distinct_events(bootstrap_servers: str, topics: Iterable[str]) -> dict[str, int]:
    """Distinct event ids per topic."""
    return {topic: len({event["event_id"] for event in await events_of(bootstrap_servers, topic)}) for topic in topics}


def captured_nano(events: Iterable[dict[str, Any]]) -> dict[tuple[str, str], int]:
    """The sum of all captures per account and currency, each event once."""
    sums: Counter[tuple[str, str]] = Counter()
    for event in {event["event_id"]: event for event in events}.values():
        if event["type"] == "Captured":
            sums[event["account_id"], event["data"]["balance"]["currency"]] += event["data"]["captured_nano"]
    return dict(sums)
