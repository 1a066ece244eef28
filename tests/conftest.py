"""Fixtures that every suite may use: real engines, started once per session, and a clean part of each per test or module."""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from deploy.local import ports, topics
from tests import engines, sessions

# The gate tries the same examples every time: what it finds is the change's doing. TOLLBOOK_EXAMPLES=random looks for new ones.
# A machine that stands still for a while fails no example: nothing here is about how long one takes.
UNTIMED: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("same", derandomize=True, **UNTIMED)
settings.register_profile("random", derandomize=False, **UNTIMED)
settings.load_profile(os.environ.get("TOLLBOOK_EXAMPLES", "same"))


def pytest_configure(config: pytest.Config) -> None:
    """Give each session that runs beside others its own part of the ports: a port is chosen a while before it is taken."""
    session = getattr(config, "workerinput", None)
    if session is not None:
        number, count = int(session["workerid"].removeprefix("gw")), int(session["workercount"])
        ports.OTHERS = ports.OTHERS[number::count]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> sessions.ByWhatIsShared:
    """Share the tests out by what they share."""
    return sessions.ByWhatIsShared(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where sessions share the tests out, begin with what takes longest."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: (sessions.place(item.nodeid), sessions.together(item.nodeid)))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a superuser's connection to the session's Postgres server."""
    with engines.postgres_dsn() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[str]:
    """The bootstrap servers of the session's Kafka broker, as it was left by whoever used it last."""
    with engines.kafka_bootstrap() as bootstrap_servers:
        yield bootstrap_servers


@pytest.fixture
def database_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty database for one test."""
    with engines.database(postgres_server) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(postgres_server: str) -> Iterator[str]:
    """The URL of a database that starts empty and is shared by the module's tests."""
    with engines.database(postgres_server) as url:
        yield url


@pytest.fixture(scope="module")
def kafka_bootstrap_servers(kafka_server: str) -> str:
    """The bootstrap servers of a broker on which every topic of `schemas/topics` exists and is empty at the module's start."""
    asyncio.run(topics.delete_all(kafka_server))
    asyncio.run(topics.create(kafka_server))
    return kafka_server
