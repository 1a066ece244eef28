"""Every row of the crash matrix, once or more per variant, on real processes: `make prove-crashes` plays them 50 times each."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.reliability.crash.matrix import ROWS, rounds
from tests.reliability.crash.rig import Rig
from tests.reliability.crash.round import Row

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(
    tmp_path_factory: pytest.TempPathFactory, module_database_url: str, kafka_bootstrap_servers: str
) -> AsyncIterator[Rig]:
    """The processes that all rows kill."""
    home: Path = tmp_path_factory.mktemp("crash")
    async with Rig(home, module_database_url, kafka_bootstrap_servers) as running:
        yield running


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.replace(" ", "-"))
async def test_a_kill_at_this_point_loses_and_doubles_nothing(rig: Rig, row: Row) -> None:
    async with rounds(rig) as player:
        for _ in range(row.variants):
            await player.play(row)
