"""Kafka under kill -9: what was acknowledged is there after the restart, once and in order."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from deploy.local import topics as topic_setup
from deploy.local.kafka.jars import resolve
from deploy.local.kafka.node import KafkaNode
from deploy.local.ports import free_port, is_free
from schemas.topics import DEAD

START_TIMEOUT_S = 60.0
RECORDS_BEFORE_KILL = 500


class Broker:
    """A node that the test may kill and start again on the same data."""

    def __init__(self, directory: Path) -> None:
        self.node = KafkaNode(directory=directory, jars=resolve(), port=free_port(), controller_port=free_port())
        self._log = directory.parent / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.node.prepare()
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(self.node.command(), stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_TIMEOUT_S
        while is_free(self.node.port):
            assert self._process.poll() is None, self._log.read_text()[-4000:]
            assert time.monotonic() < deadline, self._log.read_text()[-4000:]
            time.sleep(0.05)

    def kill9(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    running = Broker(tmp_path / "kafka")
    running.start()
    yield running
    running.kill9()


async def _produce(broker: Broker, acknowledged: list[int], until: asyncio.Event) -> None:
    """Send numbers one by one until told to stop; note each once its acknowledgement has come."""
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.node.bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        request_timeout_ms=60_000,
    )
    await producer.start()
    number = 0
    while not until.is_set():
        await producer.send_and_wait(DEAD, str(number).encode())
        acknowledged.append(number)
        number += 1
    await producer.stop()


async def _read_all(broker: Broker) -> list[int]:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.node.bootstrap_servers, enable_auto_commit=False)
    await consumer.start()
    try:
        place = TopicPartition(DEAD, 0)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        end = (await consumer.end_offsets([place]))[place]
        return [int((await consumer.getone()).value) for _ in range(end)]
    finally:
        await consumer.stop()


async def _reach(acknowledged: list[int], count: int) -> None:
    async with asyncio.timeout(START_TIMEOUT_S):
        while len(acknowledged) < count:  # noqa: ASYNC110 - a count that passes by, not an event
            await asyncio.sleep(0.01)


async def test_a_killed_broker_loses_and_doubles_nothing_that_it_acknowledged(broker: Broker) -> None:
    await topic_setup.create(broker.node.bootstrap_servers)
    acknowledged: list[int] = []
    enough = asyncio.Event()
    producing = asyncio.create_task(_produce(broker, acknowledged, enough))
    await _reach(acknowledged, RECORDS_BEFORE_KILL)

    broker.kill9()
    before = len(acknowledged)
    await asyncio.to_thread(broker.start)
    await _reach(acknowledged, before + RECORDS_BEFORE_KILL)
    enough.set()
    await producing

    assert await _read_all(broker) == acknowledged


async def test_topics_that_exist_are_left_as_they_are(broker: Broker) -> None:
    await topic_setup.create(broker.node.bootstrap_servers)
    await topic_setup.create(broker.node.bootstrap_servers)
