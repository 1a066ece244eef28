"""How Kafka has the topics."""

import asyncio
from collections.abc import Iterable

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from services.console.doctor.engine_verdicts import TopicSeen
from services.console.errors import UnreachableError

TIMEOUT_S = 15.0


def look(bootstrap_servers: str, topics: Iterable[str]) -> tuple[dict[str, TopicSeen], int]:
    """The topics that there are, and the number of brokers. Raises UnreachableError where Kafka does not answer."""
    try:
        return asyncio.run(_look(bootstrap_servers, sorted(topics)))
    except (KafkaError, OSError, TimeoutError) as error:
        raise UnreachableError(
            f"Kafka does not answer at {bootstrap_servers} ({type(error).__name__})",
            "see that it runs, and that KAFKA_BOOTSTRAP_SERVERS names it",
        ) from error


async def _look(bootstrap_servers: str, topics: list[str]) -> tuple[dict[str, TopicSeen], int]:
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, client_id="tollbook-doctor")
    async with asyncio.timeout(TIMEOUT_S):
        try:
            await client.start()
            brokers = len((await client.describe_cluster())["brokers"])
            # Only those that there are: a broker that makes topics by itself would make one that is asked for.
            there = sorted(set(topics) & set(await client.list_topics()))
            described = {each["topic"]: each for each in await client.describe_topics(there)} if there else {}
            settings = await _settings(client, list(described))
        finally:
            await client.close()
    seen = {
        name: TopicSeen(
            partitions=len(each["partitions"]),
            replicas=min((len(partition["replicas"]) for partition in each["partitions"]), default=0),
            settings=settings.get(name, {}),
        )
        for name, each in described.items()
    }
    return seen, brokers


async def _settings(client: AIOKafkaAdminClient, topics: list[str]) -> dict[str, dict[str, str]]:
    if not topics:
        return {}
    replies = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in topics])
    resources = [resource for reply in replies for resource in reply.resources]
    return {resource[3]: {entry[0]: entry[1] for entry in resource[4]} for resource in resources}
