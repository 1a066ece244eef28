"""What is asked when a message is made: names of edge, costs of ClickHouse. Neither holds a message up."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from clickhouse_connect.driver.client import Client

from services.analytics.delivery.costs import WarehouseCosts
from services.analytics.delivery.notice import NOBODY, Owner
from services.analytics.delivery.owners import EdgeOwners
from services.analytics.signals.scheduled import route_subject
from services.analytics.warehouse import Warehouse, connector
from tests.unit.analytics.notices import AT, notice

TOKEN = "the-admin-token"
ACCOUNT = "acc_acme"


def _grant(role: str, account_id: str | None = ACCOUNT) -> dict[str, str | None]:
    return {"role": role, "account_id": account_id}


USERS = [
    {"name": "Ada", "active": True, "grants": [_grant("owner"), _grant("member", "acc_other")]},
    {"name": "Gone", "active": False, "grants": [_grant("owner")]},
    {"name": "Other", "active": True, "grants": [_grant("owner", "acc_other"), _grant("member")]},
    {"name": "Op", "active": True, "grants": [_grant("operator", None)]},
]
ENTITIES = {"/admin/accounts/acc_acme": "Acme", "/admin/projects/prj_search": "Search", "/admin/keys/key_nightly": "nightly"}


class Edge:
    """Answers as edge's admin calls do; `broken` makes it answer nothing of use."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken = ""
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        """One call."""
        self.asked.append(request.path)
        if self.broken == "hang":
            await asyncio.sleep(3_600)
        if self.broken or request.headers["authorization"] != f"Bearer {TOKEN}":
            return web.Response(status=503, text="not json")
        if request.path == "/admin/users":
            return web.json_response({"object": "list", "data": USERS, "next_after": None})
        name = ENTITIES.get(request.path)
        return web.json_response({"name": name}) if name else web.json_response({"error": {}}, status=404)


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    """Edge, on a free port."""
    found, app = Edge(), web.Application()
    app.router.add_get("/{path:.*}", found.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest.fixture
async def owners(edge: Edge) -> AsyncIterator[EdgeOwners]:
    """What asks edge."""
    found = EdgeOwners(edge.url, TOKEN, timeout_s=60)
    yield found
    await found.close()


async def test_names_are_those_of_account_project_key_and_its_active_owners(owners: EdgeOwners) -> None:
    expected = Owner(account_name="Acme", project_name="Search", key_name="nightly", people=("Ada",))
    assert await owners.owner(notice()) == expected


async def test_names_are_remembered(owners: EdgeOwners, edge: Edge) -> None:
    await owners.owner(notice())
    asked = len(edge.asked)
    await owners.owner(notice("alr_2"))
    assert len(edge.asked) == asked


async def test_what_edge_does_not_know_has_no_name(owners: EdgeOwners) -> None:
    found = await owners.owner(notice(account_id="", project_id="prj_gone", subject_kind="channel"))
    assert found == NOBODY


@pytest.mark.parametrize(("broken", "timeout_s"), [("error", 60), ("hang", 0.2)])
async def test_a_message_goes_without_names_where_edge_does_not_say_and_edge_is_left_alone(
    edge: Edge, broken: str, timeout_s: float
) -> None:
    owners = EdgeOwners(edge.url, TOKEN, timeout_s=timeout_s, clock=lambda: 0.0)
    edge.broken = broken
    assert await owners.owner(notice()) == NOBODY
    asked = len(edge.asked)
    assert await owners.owner(notice("alr_2")) == NOBODY
    assert len(edge.asked) == asked
    await owners.close()


@pytest.fixture
async def costs(clickhouse: Client, clickhouse_database: str, engine_dir: Path) -> AsyncIterator[WarehouseCosts]:
    """What asks ClickHouse, where two keys were charged in three minutes."""
    columns = ["at", "account_id", "project_id", "key_id", "channel", "requested_model", "currency", "cost_nano"]
    minute, nightly = AT.replace(second=0), ("acc_acme", "prj_search", "key_nightly")
    rows = [
        (minute - timedelta(minutes=9), *nightly, "c", "gpt-4o", "USD", 7),
        (minute - timedelta(minutes=1), *nightly, "c", "gpt-4o", "USD", 100),
        (minute, *nightly, "c", "gpt-4o", "USD", 20),
        (minute, *nightly, "c", "gpt-4o", "CNY", 3),
        (minute, "acc_acme", "prj_search", "key_other", "c", "gpt-4o", "USD", 1_000),
        (minute, "acc_other", "prj_other", "key_far", "c", "gpt-4o", "USD", 10_000),
    ]
    clickhouse.insert("usage_minute", rows, column_names=columns)
    warehouse = Warehouse(connector("", engine_dir, clickhouse_database, max_threads=1), "costs")
    yield WarehouseCosts(warehouse, timeout_s=60)
    await warehouse.close()


async def test_the_cost_is_what_the_subject_was_charged_since_it_was_noticed(costs: WarehouseCosts) -> None:
    bare: dict[str, Any] = {"cost_nano": {}}
    assert await costs.cost(notice(**bare)) == {"USD": 120, "CNY": 3}
    assert await costs.cost(notice(subject_kind="project", subject_id="prj_search", **bare)) == {"USD": 1_120, "CNY": 3}
    assert await costs.cost(notice(subject_kind="account", subject_id="acc_acme", **bare)) == {"USD": 1_120, "CNY": 3}
    of_channel = notice(subject_kind="channel", subject_id="c", account_id="", project_id="", **bare)
    assert await costs.cost(of_channel) == {"USD": 11_120, "CNY": 3}
    assert await costs.cost(notice(subject_kind="system", **bare)) == {}


async def test_no_later_message_tells_of_less_cost_than_an_earlier_one(costs: WarehouseCosts) -> None:
    later: dict[str, Any] = {"cost_nano": {}, "at": AT + timedelta(minutes=5), "window_start": AT + timedelta(minutes=4)}
    later["window_end"] = AT + timedelta(minutes=5)
    for event in ("acknowledged", "resolved", "firing"):
        assert await costs.cost(notice(event=event, **later)) == {"USD": 120, "CNY": 3}


async def test_the_cost_of_a_route_is_that_since_it_was_noticed_and_not_of_its_last_window(costs: WarehouseCosts) -> None:
    route = route_subject("acc_acme", "gpt-4o", "", "USD")
    told = notice(event="resolved", subject_kind="route", subject_id=route.id, cost_nano={"USD": 5})
    assert await costs.cost(told) == {"USD": 1_120}


async def test_what_the_verdict_says_of_the_cost_counts(costs: WarehouseCosts) -> None:
    assert await costs.cost(notice(cost_nano={"USD": 5})) == {"USD": 5}


async def test_a_message_goes_without_a_cost_where_clickhouse_does_not_say() -> None:
    from deploy.local.ports import free_port

    away = Warehouse(connector(f"http://127.0.0.1:{free_port()}", Path(), "tollbook", max_threads=1), "away")
    assert await WarehouseCosts(away, timeout_s=60).cost(notice(cost_nano={})) == {}
    await away.close()
