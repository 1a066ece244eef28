"""Kills at random, under load: the whole stack as its supervisor runs it, any process, any moment."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import httpx

from deploy.local.errors import StackError
from deploy.local.home import read_json
from deploy.local.seed import CATALOG, expanded
from deploy.local.stack import Stack
from tests.e2e import books
from tests.e2e.driver import Driver, amount
from tests.reliability.crash.clients import Clients
from tests.reliability.crash.http_wire import Tap
from tests.reliability.crash.ledger import Ledger
from tests.reliability.crash.load import Load, Storm
from tests.reliability.crash.proxy import Proxy
from tests.reliability.crash.reckoning import Outcome, Reckoning

GRACE_S = 2
SETTINGS = {
    "TOLLBOOK_REQUEST_DEADLINE_SECONDS": "10",
    "TOLLBOOK_STREAM_LEASE_SECONDS": "6",
    "TOLLBOOK_HOLD_GRACE_SECONDS": str(GRACE_S),
    "TOLLBOOK_SWEEP_INTERVAL_SECONDS": "1",
}
PROCESSES = ("provider", "settlement", "settlement-worker", "router", "edge", "analytics")
VICTIMS = {"router": 30, "settlement": 18, "settlement-worker": 22, "edge": 14, "analytics": 10, "postgres": 4, "kafka": 2}
"""Who is killed how often, in percent. The provider simulator is the witness: it lives."""
ANSWERS_BETWEEN = 10
RECOVERING = 0.25
PAUSE_S = (0.0, 1.0)
"""A kill comes a moment after a few replies, so that it meets work under way; every fourth meets a recovery instead."""
CALM_ANSWERS = 40
"""So many replies have to come after the last kill: the stack has found back to its work by itself."""
QUIET_TIMEOUT_S = 180.0
TABLES_HELD = (
    "select (select coalesce(sum(held), 0) from settlement.bucket_balance)::bigint as buckets,"
    " (select coalesce(sum(held), 0) from settlement.envelope_window)::bigint as windows"
)
RESERVES = (
    "select r.state, b.posted, b.held from settlement.run r join settlement.bucket_balance b on b.run = r.id"
    " where r.holder = b.holder"
)
SPENT = (
    "select coalesce(sum(w.spent), 0)::bigint as spent, coalesce(sum(w.overrun), 0)::bigint as overrun"
    " from settlement.envelope_window w join settlement.envelope e on e.id = w.envelope where e.kind = %(kind)s"
    " and e.entity = %(entity)s"
)


@asynccontextmanager
async def running(home: Path) -> AsyncIterator[tuple[Stack, Tap]]:
    """The stack, with the tap between its router and its provider."""
    stack = Stack(home, environ=os.environ | SETTINGS, fixed_ports=False)
    try:
        described = await asyncio.to_thread(stack.up, PROCESSES)
        provider = urlsplit(described.provider_url or "")
        assert provider.hostname
        assert provider.port
        tap = Tap()
        async with Proxy(provider.hostname, provider.port, tap.converse) as proxy:
            text = expanded(CATALOG / "routes.yaml", {"TOLLBOOK_PROVIDER_URL": f"http://127.0.0.1:{proxy.port}"})
            headers = {"authorization": f"Bearer {described.admin_token}", "content-type": "application/yaml"}
            async with httpx.AsyncClient(trust_env=False, headers=headers, timeout=60) as http:
                (await http.post(f"{described.router_url}/admin/routes", content=text)).raise_for_status()
            yield stack, tap
    finally:
        await asyncio.to_thread(stack.clean)


async def weather(stack: Stack, tap: Tap, kills: int, seed: int) -> tuple[Counter[str], Outcome]:
    """So many kills under load, then calm, then the reckoning. Returns who was killed and how the requests ended."""
    described = read_json(stack.home.stack_file)
    async with Driver(described) as driver:
        clients = Clients(described["edge_url"])
        storm = Storm(driver, clients, seed)
        await storm.start()
        killed = await _kill(stack, storm, kills, Random(seed))
        for name in VICTIMS:
            await asyncio.to_thread(stack.wait_ready, name)
        await storm.answers(CALM_ANSWERS)
        await storm.stop()
        await clients.close()
        await books.settled(driver, within_s=QUIET_TIMEOUT_S)
        found = await books.loaded(driver, within_s=QUIET_TIMEOUT_S)
        outcome = await _reckon(described["postgres_dsn"], driver, storm.load, tap, found)
        books.ledger_check(described)
    return killed, outcome


async def _kill(stack: Stack, storm: Storm, kills: int, draw: Random) -> Counter[str]:
    """Kill whatever runs at the moment; one that its supervisor is just starting again is left for another time."""
    killed: Counter[str] = Counter()
    while killed.total() < kills:
        if draw.random() > RECOVERING:
            await storm.answers(draw.randint(1, ANSWERS_BETWEEN))
        await asyncio.sleep(draw.uniform(*PAUSE_S))
        [name] = draw.choices(list(VICTIMS), weights=list(VICTIMS.values()))
        try:
            await asyncio.to_thread(stack.kill9, name)
        except (StackError, ProcessLookupError):
            continue
        killed[name] += 1
    return killed


async def _reckon(dsn: str, driver: Driver, load: Load, tap: Tap, found: dict[str, books.Topic]) -> Outcome:
    ledger = Ledger(dsn, grace_s=GRACE_S)
    await ledger.start()
    try:
        assert await ledger.inbox() == found["tollbook.attempts.v1"].ids_by_type["RequestCompleted"]
        assert await ledger.rows(TABLES_HELD) == [{"buckets": 0, "windows": 0}]
        holds = await ledger.holds(asked.probe for asked in load.asked)
        outcome = Reckoning(load, tap, found, holds).run()
        for (account_id, bucket), funds in load.funds.items():
            row = await ledger.balance(account_id, bucket)
            assert (amount(row["posted"]), row["overrun"]) == (funds - outcome.paid[account_id, bucket], 0), account_id
        await _windows(ledger, load, outcome)
        assert await ledger.rows(RESERVES) == [{"state": "CLOSED", "posted": 0, "held": 0}]
        stats = await driver.http.get(f"{driver.stack['provider_url']}/control/stats")
        assert sum(each["requests"] for each in stats.json()["channels"]) == tap.calls.total()
    finally:
        await ledger.stop()
    return outcome


async def _windows(ledger: Ledger, load: Load, outcome: Outcome) -> None:
    """The limited customer's key and project have counted exactly what was paid."""
    customer = load.customers["limited"]
    paid = outcome.paid[customer.account_id, "credit"]
    for kind, entity in (("key", customer.key_ids["any"]), ("project", customer.project_id)):
        [row] = await ledger.rows(SPENT, kind=kind, entity=entity)
        assert (amount(row["spent"]), row["overrun"]) == (paid, 0), (kind, row)
