"""Kafka is not what it was when the loader last read it: nothing is passed over in silence, nothing is counted twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from aiokafka.structs import TopicPartition
from structlog.testing import capture_logs

from schemas import topics
from services.analytics.batch import Partition
from services.analytics.loader import Loader
from services.analytics.rows.registry import TOPICS
from tests.integration.analytics.loader_bench import Bench, eventually, loaded, once, running

SHORT = "LogTruncatedError"


@asynccontextmanager
async def admin_of(kafka: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client within the block."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def drop_before(kafka: str, offsets: dict[Partition, int]) -> None:
    """Remove the records before the given offsets, as retention does."""
    wanted = {TopicPartition(*partition): RecordsToDelete(before_offset=offset) for partition, offset in offsets.items()}
    async with admin_of(kafka) as admin:
        assert await admin.delete_records(wanted) is not None


def recorded(bench: Bench) -> dict[Partition, int]:
    """Where the loader stands."""
    with psycopg.connect(bench.postgres) as connection:
        rows = connection.execute("SELECT topic, partition, next_offset FROM analytics.loader_position").fetchall()
    return {(topic, partition): offset for topic, partition, offset in rows}


def pending(bench: Bench) -> list[tuple[str, int, int, int]]:
    """The recorded batch: topic, partition, first and last offset of each part."""
    with psycopg.connect(bench.postgres) as connection:
        (ranges,) = connection.execute("SELECT pending FROM analytics.loader").fetchone() or (None,)
    assert ranges, "the batch is still recorded"
    return [(topic, number, first, last) for topic, number, first, last in ranges]


async def halted(bench: Bench) -> str:
    """Why a loader that starts now does not load; it is given the time that it takes to say so."""
    again = Loader(bench.loader._wiring)
    async with running(again):
        await eventually(lambda: SHORT in (again.state.reason or ""))
    return again.state.reason or ""


async def test_a_topic_that_gets_more_partitions_is_read_on_without_a_halt(bench: Bench) -> None:
    await bench.publish()
    with capture_logs() as logs:
        async with running(bench.loader):
            await more_partitions_appear(bench)
    ended = [line["error"] for line in logs if line["event"] == "loader session ended"]
    assert set(ended) <= {"RewoundError"}


async def more_partitions_appear(bench: Bench) -> None:
    """While it loads; returns once what they hold is loaded too."""
    await loaded(bench.loader)
    before = len(recorded(bench))
    async with admin_of(bench.kafka) as admin:
        await admin.create_partitions({topic: NewPartitions(total_count=6) for topic in TOPICS})
    reader = bench.loader.state.reader
    assert reader is not None
    # Clients look every few minutes by themselves; now it reads all partitions from the beginning.
    await reader._consumer._client.force_metadata_update()
    for _ in range(3):
        await bench.publish()
    await eventually(bench.every_event_is_one_row)
    await eventually(lambda: len(recorded(bench)) > before)


async def test_records_that_are_gone_before_they_were_read_halt_the_loader_though_nothing_follows(bench: Bench) -> None:
    await bench.publish()
    async with running(bench.loader):
        await loaded(bench.loader)
    stands = recorded(bench)
    await bench.publish()
    await drop_before(bench.kafka, dict.fromkeys(stands, -1))
    assert "expected offset" in await halted(bench)
    assert recorded(bench) == stands


async def test_a_partition_that_was_empty_when_the_loader_last_looked_may_not_lose_records_either(bench: Bench) -> None:
    async with running(bench.loader):
        await eventually(lambda: bench.loader.state.reason is None)
    await bench.publish()
    await drop_before(bench.kafka, dict.fromkeys(recorded(bench), -1))
    assert "expected offset" in await halted(bench)


async def test_a_recorded_batch_whose_records_are_gone_in_part_is_not_placed_without_them(bench: Bench) -> None:
    async with running(bench.loader):
        await eventually(lambda: bench.loader.state.reason is None)
    stands = recorded(bench)
    bench.warehouse.cut, happened = once("before", "ledger")
    dying = Loader(bench.loader._wiring)
    await bench.publish()
    async with running(dying):
        await eventually(lambda: bool(happened))
        dying.stop()
    ledger = {(topic, number): first for topic, number, first, _ in pending(bench) if topic == topics.LEDGER}
    assert ledger
    await drop_before(bench.kafka, {partition: first + 1 for partition, first in ledger.items()})
    assert topics.LEDGER in await halted(bench)
    assert {partition: recorded(bench)[partition] for partition in ledger} == {
        partition: stands[partition] for partition in ledger
    }
