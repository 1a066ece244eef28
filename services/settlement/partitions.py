"""Where a key's records lie. A topic's number of partitions is part of its contract: it is never changed."""

from functools import lru_cache

from aiokafka import TopicPartition
from aiokafka.partitioner import murmur2

from schemas.topics import topics


def partitions_of(topic: str) -> list[TopicPartition]:
    """Every partition of a topic of ours."""
    return [TopicPartition(topic, partition) for partition in range(topics()[topic].partitions)]


@lru_cache(maxsize=65_536)
def partition_of(topic: str, key: str) -> int:
    """The partition that Kafka's default partitioner gives to a key."""
    return int((murmur2(key.encode()) & 0x7FFFFFFF) % topics()[topic].partitions)
