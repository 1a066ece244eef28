"""The loader killed with SIGKILL at points of a batch, by real processes: `make prove-loader` kills at every point 50 times."""

from pathlib import Path

import pytest

from services.analytics.migrate import migrate
from tests.reliability.loader import check, kill_at_each, read_again
from tests.reliability.loader_victim import Place

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


async def test_a_loader_killed_in_the_middle_of_a_batch_loses_and_doubles_nothing_and_a_replay_adds_nothing(
    database_url: str, kafka_bootstrap_servers: str, tmp_path: Path
) -> None:
    migrate(database_url)
    place = Place(database_url, kafka_bootstrap_servers, tmp_path)
    await kill_at_each(place, ["after attempts", "before usage_minute"], seed=1)
    await kill_at_each(place, ["after spend_hour", "before finish"], seed=2)
    await check(place)
    await read_again(place, 100)
    await check(place)
