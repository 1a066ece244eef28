"""The topics as they grow: every record once, by one reader that goes on where it was."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas import topics
from tests.e2e.books import LOADED, Topic

CATCH_UP_TIMEOUT_S = 90.0


class Topics:
    """What the topics say, from their first record on."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._partitions = [TopicPartition(n, p) for n in LOADED for p in range(topics.topics()[n].partitions)]
        self._consumer: Any = None
        self._admin: Any = None
        self.found: dict[str, Topic] = {name: Topic() for name in LOADED}
        self.records: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()
        self.of_request: dict[str, list[dict[str, Any]]] = defaultdict(list)

    async def start(self) -> None:
        """Connect, and stand before the first record."""
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap_servers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=20,
        )
        self._admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap_servers)
        await self._consumer.start()
        await self._admin.start()
        self._consumer.assign(self._partitions)
        await self._consumer.seek_to_beginning(*self._partitions)

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()
        await self._admin.close()

    async def catch_up(self) -> dict[TopicPartition, int]:
        """Read to the ends as they are now, and return these."""
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(self._partitions)
        async with asyncio.timeout(CATCH_UP_TIMEOUT_S):
            while any([await self._consumer.position(p) < ends[p] for p in self._partitions]):
                for partition, records in (await self._consumer.getmany(timeout_ms=200)).items():
                    for record in records:
                        self._take(partition.topic, orjson.loads(record.value))
        return ends

    async def committed(self, group: str) -> dict[int, int]:
        """The offsets that the group has committed to Kafka for the attempts topic, by partition."""
        offsets = await self._admin.list_consumer_group_offsets(group)
        return {partition.partition: each.offset for partition, each in offsets.items() if partition.topic == topics.ATTEMPTS}

    def completed(self, request_id: str) -> list[dict[str, Any]]:
        """The distinct RequestCompleted events of a request."""
        return self.events_of(request_id, "RequestCompleted")

    def events_of(self, request_id: str, kind: str) -> list[dict[str, Any]]:
        """The distinct events of one type of a request."""
        return [event for event in self.of_request[request_id] if event["type"] == kind]

    def _take(self, topic: str, event: dict[str, Any]) -> None:
        self.records[topic] += 1
        self.copies[event["event_id"]] += 1
        if event["event_id"] not in self.found[topic].ids:
            self.found[topic].add(event)
            if event.get("request_id"):
                self.of_request[event["request_id"]].append(event)
