"""A queue, and a server that takes alerts."""

from collections.abc import AsyncIterator

import psycopg
import pytest

from services.analytics.migrate import migrate
from tests.integration.analytics.delivery.rig import SECRET, Rig, rig_over
from tests.integration.analytics.delivery.server import ReceiverServer, serving
from tests.logins import as_service

EMPTY = "TRUNCATE analytics.delivery, analytics.delivery_receiver"


@pytest.fixture(scope="module")
def migrated(module_database_url: str) -> str:
    """A database with analytics' schema, for all tests of the module."""
    migrate(module_database_url)
    return module_database_url


@pytest.fixture
def queue_url(migrated: str) -> str:
    """The service's own login to an empty queue."""
    with psycopg.connect(migrated, autocommit=True) as connection:
        connection.execute(EMPTY)
    return as_service(migrated, "analytics")


@pytest.fixture
async def rig(queue_url: str) -> AsyncIterator[Rig]:
    """A rig over an empty queue."""
    async with rig_over(queue_url) as found:
        yield found


@pytest.fixture
async def server() -> AsyncIterator[ReceiverServer]:
    """A server that takes alerts."""
    async with serving(ReceiverServer(SECRET)) as found:
        yield found
