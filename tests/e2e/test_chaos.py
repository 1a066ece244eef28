"""Parts of the stack are stopped or killed under load: nothing is lost, nothing is posted twice, no client was lied to."""

import asyncio
from typing import Any

import pytest

from deploy.local.stack import Stack
from tests.e2e.driver import Driver
from tests.e2e.load import Load, assert_books_balance, under_load

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.timeout(600)]


async def test_kafka_away_for_20_s_loses_and_doubles_nothing(driver: Driver, described: dict[str, Any], running: Stack) -> None:
    async def outage(load: Load) -> None:
        await asyncio.to_thread(running.stop, "kafka")
        before = len(load.answered)
        await asyncio.sleep(20)
        assert len(load.answered) > before, "settlement's ingress should have carried the events"
        await asyncio.to_thread(running.start, "kafka")

    customer, load = await under_load(driver, outage)
    await assert_books_balance(driver, described, customer, load)


@pytest.mark.parametrize("name", ["settlement-worker", "settlement", "router", "edge", "analytics", "postgres"])
async def test_kill_9_under_load_loses_and_doubles_nothing(
    driver: Driver, described: dict[str, Any], running: Stack, name: str
) -> None:
    async def kill(load: Load) -> None:
        await asyncio.to_thread(running.kill9, name)

    customer, load = await under_load(driver, kill)
    await assert_books_balance(driver, described, customer, load)
