"""Kills at random under load, some of them: `make prove-crashes` makes two hundred."""

import tempfile
from pathlib import Path

import pytest

from tests.reliability.crash.storm import running, weather

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.timeout(600)]
KILLS = 12


async def test_kills_at_random_under_load_lose_and_double_nothing() -> None:
    with tempfile.TemporaryDirectory(prefix="tollbook-storm-", ignore_cleanup_errors=True) as home:
        async with running(Path(home)) as (stack, tap):
            killed, outcome = await weather(stack, tap, KILLS, seed=7)
    assert killed.total() == KILLS
    assert outcome.counts["settled, answered"] > 20, outcome.counts
