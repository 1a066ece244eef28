"""Kafka or settlement away: no request is lost, none is recorded twice, and nothing is called that is not paid for."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from deploy.local.ports import free_port
from schemas.registry import decode
from schemas.topics import ATTEMPTS
from tests.integration.router.broker import Broker
from tests.integration.router.processes import Process
from tests.integration.router.rig import Asker, Lane, Rig

OUTAGE_S = 6.0
POLL_TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker of this module's own."""
    running = Broker(tmp_path_factory.mktemp("broker"))
    running.start()
    yield running
    running.kill9()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, module_database_url: str, broker: Broker) -> Iterator[Rig]:
    """The neighbourhood over that broker."""
    directory: Path = tmp_path_factory.mktemp("router")
    running = Rig(directory, module_database_url, broker.node.bootstrap_servers)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
async def patient(rig: Rig) -> AsyncIterator[Asker]:
    """Edge's side of another router, which waits for settlement as long as even a slow machine takes to start it."""
    port = free_port()
    waits = {"TOLLBOOK_HOLD_BOUND_SECONDS": "60", "TOLLBOOK_REQUEST_DEADLINE_SECONDS": "90", "TOLLBOOK_PORT": str(port)}
    router = Process("services.router", rig.environment | waits, rig.log.with_name("patient.log"))
    router.start(f"http://127.0.0.1:{port}/readyz")
    asker = Asker(rig)
    await asker.http.aclose()
    asker.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=90, trust_env=False)
    yield asker
    await asker.http.aclose()
    router.stop()


async def recorded(kafka: str) -> Counter[UUID]:
    """How many distinct RequestCompleted events the log holds for each request."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=None, enable_auto_commit=False)
    await consumer.start()
    seen: dict[UUID, set[UUID]] = {}
    try:
        places = [TopicPartition(ATTEMPTS, number) for number in sorted(await wait_for_partitions(consumer))]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < ends[place] for place in places]):
            for messages in (await consumer.getmany(timeout_ms=200)).values():
                for message in messages:
                    event = decode(ATTEMPTS, dict(message.headers)["type"].decode(), message.value)
                    if event.type == "RequestCompleted" and event.request_id is not None:
                        seen.setdefault(event.request_id, set()).add(event.event_id)
    finally:
        await consumer.stop()
    return Counter({request_id: len(ids) for request_id, ids in seen.items()})


async def wait_for_partitions(consumer: AIOKafkaConsumer) -> set[int]:
    async with asyncio.timeout(POLL_TIMEOUT_S):
        while not (partitions := consumer.partitions_for_topic(ATTEMPTS)):
            await consumer._client.force_metadata_update()
    found: set[int] = partitions
    return found


async def ask_through(asker: Asker, lane: Lane, outage: Callable[[], None], end: Callable[[], None]) -> list[UUID]:
    """Requests, four at a time and streams among them, while something is away; every one must be answered."""
    asked: list[UUID] = []
    over = asyncio.Event()

    async def client(number: int) -> None:
        while not over.is_set():
            request_id, reply = await asker.ask(lane, stream=number % 2 == 1)
            assert reply.status == 200, reply.body
            assert number % 2 == 0 or reply.events[-1] == "[DONE]", reply.events[-1]
            asked.append(request_id)
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(client(number))
        await asyncio.sleep(0.5)
        outage()
        await asyncio.sleep(OUTAGE_S)
        await asyncio.to_thread(end)
        await asyncio.sleep(3)
        over.set()
    return asked


async def assert_all_recorded(rig: Rig, lane: Lane, asked: list[UUID]) -> None:
    """Each request is in the log under one event id, and no hold is left open."""
    give_up_at = time.monotonic() + POLL_TIMEOUT_S
    while True:
        found = await recorded(rig.kafka)
        held = rig.balances(lane)["credit"]["held_nano"]
        if all(found[request_id] for request_id in asked) and held == 0:
            break
        assert time.monotonic() < give_up_at, f"{sum(not found[each] for each in asked)} of {len(asked)} missing, {held} held"
        await asyncio.sleep(0.5)
    assert set(found.values()) == {1}


async def test_kafka_killed_under_load_loses_and_doubles_nothing(rig: Rig, asker: Asker, broker: Broker) -> None:
    lane = rig.lane()
    asked = await ask_through(asker, lane, broker.kill9, broker.start)
    await assert_all_recorded(rig, lane, asked)
    assert rig.log.read_text().count("kafka_back") >= 1


async def test_kafka_frozen_under_load_loses_and_doubles_nothing(rig: Rig, asker: Asker, broker: Broker) -> None:
    lane = rig.lane()
    asked = await ask_through(asker, lane, broker.freeze, broker.thaw)
    await assert_all_recorded(rig, lane, asked)


async def test_settlement_away_fails_closed(rig: Rig, asker: Asker) -> None:
    lane = rig.lane()
    rig.settlement.signal(signal.SIGSTOP)
    try:
        _, reply = await asker.ask(lane)
    finally:
        rig.settlement.signal(signal.SIGCONT)
    assert (reply.status, reply.headers["x-tollbook-rejected"]) == (503, "ledger_unavailable")
    assert int(reply.headers["retry-after"]) > 0
    assert rig.stats(lane.main)["requests"] == 0


async def test_settlement_started_again_in_time_is_asked_again_under_the_same_hold(rig: Rig, patient: Asker) -> None:
    lane = rig.lane()
    rig.settlement.stop()
    asking = asyncio.create_task(patient.ask(lane))
    await asyncio.sleep(0.2)
    rig.settlement.start()
    request_id, reply = await asking
    await asyncio.to_thread(rig.settlement.wait_ready, rig.urls["settlement"] + "/readyz")
    assert reply.status == 200, reply.body
    await assert_all_recorded(rig, lane, [request_id])


async def test_with_both_away_the_reply_ends_in_an_error_and_the_hold_stays_open(
    rig: Rig, asker: Asker, broker: Broker
) -> None:
    lane = rig.lane()
    request_id = uuid4()
    metadata = {"sim_latency_ms": "900"}
    asking = asyncio.create_task(_whole(asker, lane, request_id, metadata))
    await _until_asked(rig, lane)
    broker.freeze()
    rig.settlement.signal(signal.SIGSTOP)
    try:
        status, body = await asking
    finally:
        rig.settlement.signal(signal.SIGCONT)
        await asyncio.to_thread(broker.thaw)
    assert status == 503
    assert b"log_unavailable" in body
    assert rig.balances(lane)["credit"]["held_nano"] > 0


async def _whole(asker: Asker, lane: Lane, request_id: UUID, metadata: dict[str, str]) -> tuple[int, bytes]:
    async with asker.begin(lane, request_id, metadata=metadata) as response:
        return response.status_code, await response.aread()


async def _until_asked(rig: Rig, lane: Lane) -> None:
    give_up_at = time.monotonic() + POLL_TIMEOUT_S
    while not rig.asked(lane.main):
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.02)
