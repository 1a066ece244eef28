"""One running neighbourhood for each module of router's integration tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import orjson
import pytest

from tests.integration.router.rig import Asker, Rig
from tests.integration.router.speakers import PRICE_BOOK, table


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, module_database_url: str, kafka_bootstrap_servers: str) -> Iterator[Rig]:
    """Provider, settlement and router, running."""
    directory: Path = tmp_path_factory.mktemp("router")
    running = Rig(directory, module_database_url, kafka_bootstrap_servers)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
async def asker(rig: Rig) -> AsyncIterator[Asker]:
    """Edge's side of the connection."""
    made = Asker(rig)
    yield made
    await made.http.aclose()


@pytest.fixture(scope="module")
def speakers(rig: Rig) -> Rig:
    """The neighbourhood with a table of lanes for each dialect: a primary that speaks it, and a backup that speaks OpenAI's."""
    rig.post("settlement", "/admin/price-books", content=PRICE_BOOK)
    rig.post("router", "/admin/routes", content=orjson.dumps(table(rig)))
    return rig
