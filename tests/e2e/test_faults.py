"""Short sizes of `make prove-faults` and `make prove-fuzz`, over the stack that these tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.e2e.driver import Driver
from tests.reliability.faults.fuzz import fuzz_bodies, fuzz_upstreams
from tests.reliability.faults.storm import storm
from tests.reliability.faults.world import World
from tests.reliability.progress import Progress

QUIET = Progress("faults", 1, quiet=True)


@pytest.fixture
async def world(driver: Driver) -> AsyncIterator[World]:
    """The stack; afterwards the catalog's own routes are in force again, as the tests beside these expect."""
    shared = World(driver)
    yield shared
    await shared.route([], [])


async def test_a_third_of_all_calls_going_wrong_leaves_every_request_answered_and_every_charge_exact(world: World) -> None:
    found = await storm(world, 200, QUIET)
    assert found.books.wrong == []
    assert (found.answered, found.unanswered) == (200, [])
    assert sum(found.faults.values()) > 30


async def test_fuzzed_requests_meet_no_failure_of_ours_and_lose_no_hold(world: World) -> None:
    found = await fuzz_bodies(world, 300, QUIET)
    assert found.books.wrong == []
    assert min(found.statuses[200], found.statuses[400]) > 30


async def test_fuzzed_upstreams_meet_no_failure_of_ours_and_lose_no_hold(world: World) -> None:
    found = await fuzz_upstreams(world, 150, QUIET)
    assert found.books.wrong == []
    assert found.upstream_replies >= 150
