"""Whoever has `clickhouse_url` of stack.json reads what the running stack has loaded, and writes nothing."""

import asyncio
import time
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.e2e.driver import Driver

WITHIN_S = 120


async def test_a_client_of_clickhouse_reads_a_request_of_the_running_stack(driver: Driver, described: dict[str, Any]) -> None:
    customer = await driver.customer(sql={})
    await driver.top_up(customer.account_id, "credit", "5")
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 20}
    reply = await driver.chat(customer.keys["sql"], body)
    assert reply.ok
    asked = {"account": customer.account_id}
    query = "select outcome, cost_nano from completions final where account_id = {account:String}"
    rolled = "select sum(requests), sum(cost_nano) from usage_minute where account_id = {account:String}"
    client = await asyncio.to_thread(clickhouse_connect.get_client, dsn=described["clickhouse_url"])
    try:
        rows = await _rows(client, query, asked)
        assert [row[0] for row in rows] == ["succeeded"]
        assert (await asyncio.to_thread(client.query, rolled, asked)).result_rows == [(1, rows[0][1])]
        with pytest.raises(DatabaseError, match="READONLY"):
            await asyncio.to_thread(client.command, "truncate table completions")
    finally:
        await asyncio.to_thread(client.close)


async def _rows(client: Client, query: str, asked: dict[str, str]) -> Any:
    deadline = time.monotonic() + WITHIN_S
    while not (found := (await asyncio.to_thread(client.query, query, asked)).result_rows):
        assert time.monotonic() < deadline, "the request was not loaded"
        await asyncio.sleep(0.2)
    return found
