"""An upgrade under load: the tables change under the old processes, then all seven are replaced, and no client notices."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from deploy.local.stack import Stack
from deploy.local.traffic import Size
from deploy.local.upgrade import in_order
from tests.e2e.driver import Driver, chat_body
from tests.e2e.load import Load, answers_grow, assert_books_balance, under_load

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.timeout(600)]

COLUMNS = {
    "settlement": ("hold", "txn", "posting", "receipt", "outbox", "bucket_balance", "consumer_offset", "envelope_window"),
    "edge": ("account", "project", "api_key", "claim", "control_outbox"),
    "router": ("route_table", "channel_key", "batch"),
    "analytics": ("loader", "loader_position"),
}
"""A release after this one: each of these tables gets a column, as any additive migration may give it one."""
ADDED = "of_the_next_release"


@pytest.fixture
def next_tables(described: dict[str, Any]) -> Iterator[list[str]]:
    """The statements of a migration that no process knows; undone afterwards."""
    tables = [f"{schema}.{table}" for schema, names in COLUMNS.items() for table in names]
    yield [f"ALTER TABLE {table} ADD COLUMN {ADDED} text NOT NULL DEFAULT 'new'" for table in tables]
    _execute(described, [f"ALTER TABLE {table} DROP COLUMN IF EXISTS {ADDED}" for table in tables])


async def test_an_upgrade_with_a_migration_under_load_fails_no_request(
    driver: Driver, described: dict[str, Any], running: Stack, next_tables: list[str]
) -> None:
    newcomers: list[tuple[int, str]] = []

    async def upgrade(load: Load) -> None:
        arriving = asyncio.create_task(_arrive(described, load, newcomers))
        await asyncio.to_thread(_execute, described, next_tables)
        await answers_grow(load, 20)
        for name in (process.name for process in in_order()):
            before = running.pid(name)
            await asyncio.to_thread(running.replace, name)
            assert running.pid(name) not in {None, before}
        await answers_grow(load, 20)
        arriving.cancel()
        await asyncio.gather(arriving, return_exceptions=True)

    customer, load = await under_load(driver, upgrade)
    assert load.broken == 0
    assert [(reply.status, reply.body) for _, reply in load.replies if not reply.ok] == []
    assert len(newcomers) > 10
    assert {status for status, _ in newcomers} == {200}, newcomers
    await assert_books_balance(driver, described, customer, load)


async def _arrive(described: dict[str, Any], load: Load, seen: list[tuple[int, str]]) -> None:
    """Clients that come once, each on a connection of its own: nothing retries for them."""
    while True:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            headers = {"authorization": f"Bearer {load.customer.keys['any']}"}
            url = f"{described['edge_url']}/v1/chat/completions"
            try:
                reply = await client.post(url, json=chat_body("gpt-4o", Size(20, 20)), headers=headers)
                seen.append((reply.status_code, reply.text))
            except httpx.TransportError as error:
                seen.append((0, repr(error)))
        await asyncio.sleep(0.02)


def _execute(described: dict[str, Any], statements: list[str]) -> None:
    """Each in a transaction of its own, as a migration does that waits for a busy table and must not hold up the others."""
    with psycopg.connect(described["postgres_dsn"], autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
