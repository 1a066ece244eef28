"""A process says which Tollbook it runs."""

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from schemas.release import VERSION, alive, release

ROOT = Path(__file__).parents[3]


def test_the_version_is_that_of_the_project() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"] == VERSION


def test_a_process_says_its_release_and_its_time() -> None:
    told = alive()
    assert {name: told[name] for name in release()} == release()
    assert len(told["contracts"]) == 12
    assert abs(datetime.fromisoformat(told["at"]) - datetime.now(UTC)) < timedelta(minutes=1)
