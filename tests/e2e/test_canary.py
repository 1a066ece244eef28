"""A provider's key is nowhere in the whole stack: logs, topics, Postgres, ClickHouse, pages of every service, replies."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import yaml

from deploy.local.home import CHECKOUT
from deploy.local.seed import CATALOG, expanded
from deploy.local.stack import Stack
from tests.canaries import EchoingProvider, assert_clean, canary_rows, echoing_provider, records_of, rows_of
from tests.e2e.books import loaded
from tests.e2e.driver import Customer, Driver

pytestmark = pytest.mark.stack
AT_ONCE = 12
EDGE = ("/v1/models", "/v1/balances", "/v1/requests", "/v1/usage", "/v1/topups", "/v1/runs", "/v1/signing-keys", "/metrics")
OPERATOR = {
    "edge": ("/admin/accounts", "/admin/projects", "/admin/keys"),
    "router": ("/admin/routes", "/admin/routes/export", "/admin/channels", "/admin/secrets", "/metrics"),
    "settlement": (
        "/admin/lag",
        "/admin/cases",
        "/admin/dead-letters",
        "/admin/unknown-ends",
        "/admin/ledger/checks",
        "/metrics",
    ),
    "analytics": ("/admin/lag", "/admin/counts", "/admin/alerts", "/dashboard", "/metrics", "/api/series", "/api/tables"),
}


@pytest.fixture
async def provider(driver: Driver) -> AsyncIterator[EchoingProvider]:
    """A provider that repeats keys, in the route table beside the simulator's channels while a test runs."""
    table = yaml.safe_load(expanded(CATALOG / "routes.yaml", {"TOLLBOOK_PROVIDER_URL": driver.stack["provider_url"]}))
    async with echoing_provider() as listening:
        channels, models = canary_rows(listening, "CANARY_KEY_THAT_IS_NOT_SET")
        both = {**table, "channels": table["channels"] + channels, "models": table["models"] + models}
        answer = await driver.admin("router", "/admin/routes", both)
        assert [fault["channel"] for fault in answer["faults"]] == ["openai-error-401"]
        yield listening
    await driver.admin("router", "/admin/routes", table)


async def test_no_secret_is_anywhere_in_the_stack(running: Stack, driver: Driver, provider: EchoingProvider) -> None:
    customer = await driver.customer(app={})
    await driver.top_up(customer.account_id, "credit", "50")
    models = [row["id"] for row in canary_rows(provider, "X")[1]]
    requests, replies = await _everything(driver, customer, models)
    assert len(provider.keys) > 70
    served = [request_id for request_id, refused in requests if not refused]
    records = await records_of(driver.stack["kafka_bootstrap_servers"], served)
    await loaded(driver)
    assert_clean("reply", replies)
    assert assert_clean("page", [page async for page in _pages(driver, customer, requests)]) > len(requests)
    assert assert_clean("topic", records) > 2 * len(served)
    assert assert_clean("database", rows_of(driver.stack["postgres_dsn"])) > 500
    assert assert_clean("clickhouse", _clickhouse(running)) > 2 * len(served)
    assert assert_clean("log", [path.read_bytes() for path in running.home.logs.rglob("*") if path.is_file()]) >= 6


async def _everything(driver: Driver, customer: Customer, models: list[str]) -> tuple[list[tuple[str, bool]], list[bytes]]:
    """Ask each model, plain and as a stream: the requests, whether each was refused before any call, what the client saw."""
    places = asyncio.Semaphore(AT_ONCE)
    requests: list[tuple[str, bool]] = []
    replies: list[bytes] = []

    async def ask(model: str, *, stream: bool) -> None:
        body = {"model": model, "stream": stream, "max_tokens": 9, "messages": [{"role": "user", "content": "hello " * 20}]}
        async with places:
            reply = await driver.send(customer.keys["app"], "POST", "/v1/chat/completions", body)
        replies.append(repr(reply.headers.multi_items()).encode() + reply.content)
        error = reply.json().get("error", {}) if reply.headers["content-type"] == "application/json" else {}
        refused = reply.status_code == 503 and error.get("code") == "upstream_unavailable"
        requests.append((reply.headers["x-request-id"], refused))

    await asyncio.gather(*(ask(model, stream=stream) for model in models for stream in (False, True)))
    return requests, replies


async def _pages(driver: Driver, customer: Customer, requests: list[tuple[str, bool]]) -> AsyncIterator[bytes]:
    """What every service shows to customers and operators."""
    for path in EDGE:
        yield _whole(await driver.send(customer.keys["app"], "GET", path))
    for request_id, _ in requests:
        yield _whole(await driver.send(customer.keys["app"], "GET", f"/v1/requests/{request_id}"))
    admin = {"authorization": f"Bearer {driver.stack['admin_token']}"}
    account = customer.account_id
    more = {"settlement": (f"/admin/accounts/{account}/balances", f"/admin/accounts/{account}/postings")}
    for service, paths in OPERATOR.items():
        for path in (*paths, *more.get(service, ())):
            yield _whole(await driver.http.get(f"{driver.stack[f'{service}_url']}{path}", headers=admin))


def _whole(reply: httpx.Response) -> bytes:
    return json.dumps(reply.headers.multi_items()).encode() + reply.content


def _clickhouse(running: Stack) -> list[str]:
    """Every row of the embedded engine, which only one process may open: the loader rests meanwhile."""
    engine: Any = running.home.data / "analytics" / "clickhouse"
    running.stop("analytics")
    try:
        command = [sys.executable, "-m", "tests.e2e.clickhouse_rows", str(engine)]
        dumped = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=True)
    finally:
        running.start("analytics")
    return dumped.stdout.splitlines()
