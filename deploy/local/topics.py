"""Create the topics that `schemas/topics/*.yaml` describe; run again, it creates what is missing.

python -m deploy.local.topics [--bootstrap-servers HOST:PORT] [--replication-factor N]
"""

import asyncio
from typing import Annotated

import typer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local.errors import StepFailedError
from schemas.topics import Topic, topics

TOPIC_ALREADY_EXISTS = 36
# A topic is usable once each partition has a leader, which follows the reply within moments.
LEADERS_TIMEOUT_S = 30.0
POLL_S = 0.05


async def create(bootstrap_servers: str, replication_factor: int = 1) -> None:
    """Create every topic that is missing and wait until each partition has a leader.

    Raises StepFailedError when a topic is refused, or exists with another number of partitions: events are keyed by
    account, and a changed number would tear an account's story apart.
    """
    wanted = topics()
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await client.start()
    try:
        existing = set(await client.list_topics())
        if missing := [topic for name, topic in wanted.items() if name not in existing]:
            await _request(client, missing, replication_factor)
        await _wait_for_leaders(client, wanted)
    finally:
        await client.close()


async def delete_all(bootstrap_servers: str) -> None:
    """Delete every topic of ours with its records: for tests, which want a log that begins at 0."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await client.start()
    try:
        async with asyncio.timeout(LEADERS_TIMEOUT_S):
            while ours := [name for name in await client.list_topics() if not name.startswith("__")]:
                await client.delete_topics(ours)
                await asyncio.sleep(POLL_S)
    finally:
        await client.close()


def settings_of(topic: Topic) -> dict[str, str]:
    """Return the topic's settings under Kafka's names."""
    named = {"retention.ms": str(topic.retention_ms), "cleanup.policy": topic.cleanup_policy}
    return named | topic.config


async def _request(client: AIOKafkaAdminClient, missing: list[Topic], replication_factor: int) -> None:
    new = [NewTopic(t.name, t.partitions, replication_factor, topic_configs=settings_of(t)) for t in missing]
    reply = await client.create_topics(new)
    for name, code, message in reply.topic_errors:
        if code not in {0, TOPIC_ALREADY_EXISTS}:
            raise StepFailedError(f"Kafka refused to create {name} (error {code})", message or "")


async def _wait_for_leaders(client: AIOKafkaAdminClient, wanted: dict[str, Topic]) -> None:
    async with asyncio.timeout(LEADERS_TIMEOUT_S):
        while True:
            led = {described["topic"]: described["partitions"] for described in await client.describe_topics()}
            if all(_has_leaders(led.get(name, [])) for name in wanted):
                break
            await asyncio.sleep(POLL_S)
    for name, topic in wanted.items():
        if len(led[name]) != topic.partitions:
            raise StepFailedError(f"{name} has {len(led[name])} partitions, but schemas/topics says {topic.partitions}")


def _has_leaders(partitions: list[dict[str, int]]) -> bool:
    return bool(partitions) and all(partition["leader"] >= 0 for partition in partitions)


def main(
    bootstrap_servers: Annotated[str, typer.Option(envvar="KAFKA_BOOTSTRAP_SERVERS")],
    replication_factor: Annotated[int, typer.Option(envvar="TOLLBOOK_KAFKA_REPLICATION_FACTOR")] = 1,
) -> None:
    """Create the topics that are missing."""
    asyncio.run(create(bootstrap_servers, replication_factor))


if __name__ == "__main__":
    typer.run(main)
