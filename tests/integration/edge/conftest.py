"""One edge with its peers, Postgres and Kafka per module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.edge.migrate import migrate
from tests.integration.edge.peers import Peers, running_peers
from tests.integration.edge.processes import EdgeProcess, Key, running_edge


@pytest.fixture(scope="module")
def migrated_url(module_database_url: str) -> str:
    """A database with edge's tables."""
    migrate(module_database_url)
    return module_database_url


@pytest.fixture(scope="module")
def peers() -> Iterator[Peers]:
    """Router and settlement."""
    with running_peers() as running:
        yield running


@pytest.fixture(scope="module")
def log_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module's edge writes its log."""
    return tmp_path_factory.mktemp("edge") / "edge.log"


@pytest.fixture(scope="module")
def edge(log_file: Path, migrated_url: str, kafka_bootstrap_servers: str, peers: Peers) -> Iterator[EdgeProcess]:
    """The edge, ready."""
    with running_edge(log_file, migrated_url, kafka_bootstrap_servers, peers.url) as running:
        yield running


@pytest.fixture
def key(edge: EdgeProcess) -> Key:
    """A key of an account of its own."""
    return edge.new_key()
