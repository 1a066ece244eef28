"""What a proof stands on when it is run by itself: real engines of its own, and the CPU that they use."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import psycopg

from deploy.local import topics
from tests import engines


@dataclass(frozen=True, slots=True)
class Ground:
    """An empty database, and a broker with every topic; "" where the proof needs no broker."""

    database_url: str
    kafka: str = ""


@contextmanager
def second_database(on: Ground) -> Iterator[Ground]:
    """Another empty database on the same engines."""
    with engines.database(on.database_url) as url:
        yield Ground(url, on.kafka)


@contextmanager
def ground(*, kafka: bool) -> Iterator[Ground]:
    """Engines of the proof's own, until the block ends."""
    with engines.postgres_dsn() as server, engines.database(server) as url:
        if not kafka:
            yield Ground(url)
            return
        with engines.kafka_bootstrap() as bootstrap_servers:
            asyncio.run(topics.create(bootstrap_servers))
            yield Ground(url, bootstrap_servers)


def empty_topics(on: Ground) -> None:
    """Make every topic begin again at offset 0."""
    asyncio.run(topics.delete_all(on.kafka))
    asyncio.run(topics.create(on.kafka))


def engine_pids(on: Ground) -> dict[str, int]:
    """The process ids of the embedded engines, by name: their CPU is quoted beside the rates."""
    with psycopg.connect(on.database_url) as connection:
        backend = psutil.Process(connection.info.backend_pid)
        found = {"postgres": backend.ppid()}
    if on.kafka:
        found["kafka"] = next(child.pid for child in psutil.Process().children() if child.name() == "java")
    return found
