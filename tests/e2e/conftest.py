"""One whole stack for all end-to-end tests, in a home of its own beside whatever else runs on the machine."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.home import read_json
from deploy.local.stack import Stack
from tests.e2e.driver import Driver

WEBHOOK_SECRET = "whsec_ZW5kLXRvLWVuZC1zZWNyZXQtb2YtYWxlcnRz"
SETTINGS = {
    "TOLLBOOK_REQUEST_DEADLINE_SECONDS": "25",
    "TOLLBOOK_HOLD_GRACE_SECONDS": "4",
    "TOLLBOOK_STRIPE_WEBHOOK_SECRET": "whsec_end_to_end",
    "WEBHOOK_SECRET": WEBHOOK_SECRET,
}
"""Holds of killed processes have to expire within a test, not within the two minutes and more of a real installation."""


@pytest.fixture(scope="session")
def running() -> Iterator[Stack]:
    """The stack, up and seeded. TOLLBOOK_TEST_HOME names a home whose stack is used and left as it is."""
    if home_in_use := os.environ.get("TOLLBOOK_TEST_HOME"):
        yield Stack(Path(home_in_use), environ=os.environ | SETTINGS)
        return
    with tempfile.TemporaryDirectory(prefix="tollbook-e2e-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), environ=os.environ | SETTINGS, fixed_ports=False)
        try:
            stack.up()
            yield stack
        finally:
            stack.clean()


@pytest.fixture(scope="session")
def described(running: Stack) -> dict[str, Any]:
    """The contents of `stack.json`."""
    return read_json(running.home.stack_file)


@pytest.fixture
async def driver(described: dict[str, Any]) -> AsyncIterator[Driver]:
    """A client of the running stack; faults that a test scripted are gone afterwards."""
    async with Driver(described) as client:
        await client.clear_faults()
        yield client
        await client.clear_faults()
