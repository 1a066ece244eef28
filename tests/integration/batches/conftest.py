"""One running neighbourhood for each module of the batches' integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.batches.rig import BatchRig


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, module_database_url: str, kafka_bootstrap_servers: str) -> Iterator[BatchRig]:
    """Edge, batch worker, router, settlement and provider, running."""
    running = BatchRig(tmp_path_factory.mktemp("batches"), module_database_url, kafka_bootstrap_servers)
    try:
        running.start()
        yield running
    finally:
        running.stop()
