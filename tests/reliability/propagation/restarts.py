"""What was decided holds after a kill -9, after Kafka was away, and when the topic has been compacted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from schemas.topics import CONTROL
from tests.reliability.propagation.load import ASKED
from tests.reliability.propagation.twins import FIRST, MODEL, PAIRED, SECOND, SIDES, Customer, Twins, model_row, until

COMPACTED_AT = {
    "cleanup.policy": "compact",
    "retention.ms": "-1",
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.01",
    "max.compaction.lag.ms": "200",
    "delete.retention.ms": "100",
}
WRITTEN = 60


def asked(twins: Twins, customer: Customer, side: int) -> httpx.Response:
    """One request to one side."""
    headers = {"authorization": f"Bearer {customer.api_key}"}
    url = twins.url("edge", side) + "/v1/chat/completions"
    return httpx.post(url, json=ASKED, headers=headers, timeout=60, trust_env=False)


@contextmanager
def decided(twins: Twins) -> Iterator[tuple[Customer, Customer]]:
    """A frozen key, a frozen channel and another table: all told to side 0. (frozen, free) customers."""
    frozen, free = twins.customer(), twins.customer()
    twins.admin("edge", "POST", f"/keys/{frozen.key_id}/freeze")
    twins.admin("router", "POST", f"/channels/{SECOND}/freeze", json={"author": "prove"})
    twins.admin("router", "PUT", f"/models/{MODEL}", json=model_row(SECOND, FIRST))
    yield frozen, free
    twins.admin("router", "POST", f"/channels/{SECOND}/unfreeze")
    twins.admin("router", "PUT", f"/models/{MODEL}", json=model_row(FIRST, SECOND))


def obeys(twins: Twins, frozen: Customer, free: Customer, side: int) -> bool:
    """Whether a side refuses the frozen key, passes over the frozen channel, and has the newest table."""
    refused, answered = asked(twins, frozen, side), asked(twins, free, side)
    plan = twins.admin("router", "POST", "/route-plan", side, json={"model": MODEL})["candidates"]
    first = (plan[0]["channel"], plan[0]["skipped"])
    ends = (refused.status_code, answered.status_code, answered.headers.get("x-tollbook-channel"))
    return ends == (403, 200, FIRST) and first == (SECOND, "channel_frozen")


def restarts(twins: Twins) -> None:
    """Kill every instance of one side: the first requests after its start are answered by what was decided before."""
    with decided(twins) as (frozen, free):
        for name in PAIRED:
            twins.kill(name, 1)
        for name in PAIRED:
            twins.start_again(name, 1)
        assert obeys(twins, frozen, free, 1), "a restarted side does not know what was decided before"


def compacts(twins: Twins) -> tuple[int, int]:
    """Let Kafka compact the topic, and start one side anew from what is left. How many records there were, and are."""
    asyncio.run(_configure(twins.kafka, COMPACTED_AT))
    with decided(twins) as (frozen, free):
        for _ in range(WRITTEN // 2):
            for verb in ("freeze", "unfreeze"):
                twins.admin("edge", "POST", f"/projects/{free.project_id}/{verb}")
        before = asyncio.run(_kept(twins.kafka))
        left = before

        def shorter() -> bool:
            nonlocal left
            twins.admin("edge", "POST", f"/projects/{free.project_id}/unfreeze")  # the newest segment is never compacted
            left = asyncio.run(_kept(twins.kafka))
            return left < before / 2

        until(shorter, lambda: f"{before} records, {left} left")
        for name in PAIRED:
            twins.kill(name, 1)
            twins.start_again(name, 1)
        assert all(obeys(twins, frozen, free, side) for side in SIDES), (
            "a side that read the compacted topic obeys another state"
        )
    return before, left


async def _configure(kafka: str, settings: dict[str, Any]) -> None:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await client.start()
    try:
        await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, CONTROL, configs=settings)])
    finally:
        await client.close()


async def _kept(kafka: str) -> int:
    """How many records the topic still has."""
    consumer = AIOKafkaConsumer(CONTROL, bootstrap_servers=kafka, auto_offset_reset="earliest", group_id=None)
    await consumer.start()
    try:
        [partition] = consumer.assignment()
        end, found = (await consumer.end_offsets([partition]))[partition], 0
        while await consumer.position(partition) < end:
            found += sum(len(records) for records in (await consumer.getmany(timeout_ms=200)).values())
        return found
    finally:
        await consumer.stop()
