"""Kafka records without Kafka, and the golden examples as their payloads."""

from pathlib import Path
from typing import NamedTuple

EXAMPLES = Path(__file__).parents[3] / "schemas" / "examples"


class Record(NamedTuple):
    """What the loader reads of a record."""

    topic: str
    partition: int
    offset: int
    value: bytes | None


def example(topic: str, name: str) -> bytes:
    """The golden example `name` of a topic."""
    (path,) = (EXAMPLES / topic).rglob(f"{name}.json")
    return path.read_bytes()
