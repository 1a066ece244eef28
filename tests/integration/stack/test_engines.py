"""What the other suites rest on: the engines keep what they acknowledged."""

import psycopg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from schemas import topics


def test_postgres_never_trades_durability_for_speed(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert connection.execute(f"SHOW {setting}").fetchone() == ("on",), setting


def test_a_database_is_empty_for_each_test(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        schemas = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'").fetchall()
    assert {name for (name,) in schemas} == {"public", "information_schema"}


async def test_every_described_topic_exists_and_starts_empty(kafka_bootstrap_servers: str) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka_bootstrap_servers)
    await consumer.start()
    try:
        for name, topic in topics.topics().items():
            partitions = [TopicPartition(name, number) for number in range(topic.partitions)]
            assert set((await consumer.end_offsets(partitions)).values()) == {0}
    finally:
        await consumer.stop()


async def test_an_acknowledged_record_can_be_read_back(kafka_bootstrap_servers: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap_servers, acks="all", enable_idempotence=True)
    await producer.start()
    sent = await producer.send_and_wait(topics.DEAD, b"value", key=b"key", headers=[("type", b"DeadLetter")])
    await producer.stop()
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka_bootstrap_servers, enable_auto_commit=False)
    await consumer.start()
    try:
        place = TopicPartition(topics.DEAD, sent.partition)
        consumer.assign([place])
        consumer.seek(place, sent.offset)
        record = await consumer.getone()
    finally:
        await consumer.stop()
    assert (record.key, record.value, record.headers) == (b"key", b"value", (("type", b"DeadLetter"),))
