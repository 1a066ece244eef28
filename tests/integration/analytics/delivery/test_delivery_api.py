"""The admin calls about deliveries: what they show, whom they let in, and that they show no secret."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI

from services.analytics import http_errors
from services.analytics.admin_calls import Door, require_permissions
from services.analytics.delivery import api
from services.analytics.delivery.queue import Queue
from services.analytics.identity import Identity
from tests.edge_of_users import SERVICE_TOKEN, EdgeOfUsers, running_edge
from tests.integration.analytics.delivery.rig import Rig, until
from tests.integration.analytics.delivery.server import ReceiverServer
from tests.unit.analytics.notices import notice

ROOT = {"authorization": "Bearer the-admin-token"}


@pytest.fixture
def edge_of_users() -> Iterator[EdgeOfUsers]:
    """Edge, which knows users."""
    with running_edge() as found:
        yield found


@pytest.fixture
async def client(rig: Rig, edge_of_users: EdgeOfUsers) -> AsyncIterator[httpx.AsyncClient]:
    """The calls, behind analytics' own door."""
    app = FastAPI()
    http_errors.install(app)
    identity = Identity(edge_of_users.url, SERVICE_TOKEN)
    app.add_middleware(Door, "the-admin-token", identity)
    sending, http = rig.new_sending()
    app.include_router(api.router(api.Desk(Queue(rig.pool), sending, lambda: rig.receivers, rig.environ)))
    require_permissions(app)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://analytics", headers=ROOT) as found:
        yield found
    await http.close()
    await identity.close()


async def test_deliveries_are_listed_by_alert_receiver_and_state(
    rig: Rig, server: ReceiverServer, client: httpx.AsyncClient
) -> None:
    rig.webhook("program", f"{server.url}/webhook/a")
    rig.webhook("broken", f"{server.url}/webhook/broken")
    server.always["/webhook/broken"] = "404"
    await rig.storm(3)
    async with rig.running():
        await until(lambda: rig.all_ended(6), "all ended")

    async def listed(**wanted: str | int) -> list[tuple[str, str, str]]:
        reply = await client.get("/admin/deliveries", params=wanted)
        assert reply.status_code == 200, reply.text
        return [(row["alert_id"], row["receiver"], row["state"]) for row in reply.json()["data"]]

    assert len(await listed()) == 6
    assert await listed(alert_id="alr_1") == [("alr_1", "program", "sent"), ("alr_1", "broken", "failed")]
    assert await listed(receiver="program", limit=1) == [("alr_2", "program", "sent")]
    assert [row[1] for row in await listed(state="failed")] == ["broken"] * 3
    failed = (await client.get("/admin/deliveries", params={"state": "failed"})).json()["data"][0]
    assert (failed["status"], failed["reason"], failed["attempts"]) == (404, "HTTP 404: broken as told", 1)


async def test_pages_of_deliveries_show_each_once(rig: Rig, server: ReceiverServer, client: httpx.AsyncClient) -> None:
    rig.webhook("program", f"{server.url}/webhook/a")
    await rig.storm(5)
    seen, after = [], None
    while True:
        reply = (await client.get("/admin/deliveries", params={"limit": 2} | ({"after": after} if after else {}))).json()
        seen += [row["alert_id"] for row in reply["data"]]
        after = reply["next_after"]
        if after is None:
            break
    assert seen == [f"alr_{number}" for number in (4, 3, 2, 1, 0)]
    for nonsense in ("x", "9" * 30, "-1"):
        reply = await client.get("/admin/deliveries", params={"after": nonsense})
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "after")
    assert (await client.get("/admin/deliveries", params={"alert_id": "a\0b"})).status_code == 400


async def test_receivers_are_listed_with_how_they_do_and_without_their_secrets(
    rig: Rig, server: ReceiverServer, client: httpx.AsyncClient
) -> None:
    rig.webhook("program", f"{server.url}/webhook/a?token=s3cret-in-the-address")
    rig.receiver("slack", kind="slack", url="${env:SLACK_URL}", events=["firing"])
    await rig.tell(notice(), "slack")
    reply = await client.get("/admin/receivers")
    program, slack = reply.json()["data"]
    assert (program["name"], program["kind"], program["waiting"]) == ("program", "webhook", 0)
    assert program["variables"] == [{"name": "WEBHOOK_SECRET", "is_set": True}]
    assert (slack["waiting"], slack["events"]) == (1, ["firing"])
    assert slack["variables"] == [{"name": "SLACK_URL", "is_set": False}]
    assert "s3cret" not in reply.text
    assert rig.environ["WEBHOOK_SECRET"] not in reply.text


async def test_a_test_arrives_at_once_and_leaves_no_incident_open(
    rig: Rig, server: ReceiverServer, client: httpx.AsyncClient
) -> None:
    rig.webhook("program", f"{server.url}/webhook/a")
    address = {"url": f"{server.url}/pagerduty", "allow_http": True}
    rig.receiver("pager", kind="pagerduty", routing_key="${env:PAGERDUTY_KEY}", **address)
    for name in ("program", "pager"):
        told = (await client.post(f"/admin/receivers/{name}/test")).json()
        assert (told["receiver"], told["sent"], told["reason"]) == (name, True, None)
    assert [each["type"] for each in server.got["/webhook/a"]] == ["alert.test"]
    assert [each["event_action"] for each in server.got["/pagerduty"]] == ["trigger", "resolve"]
    assert set(server.incidents.values()) == {"resolve"}
    assert await rig.rows() == []
    async with rig.pool.connection() as connection:
        columns = "action, entity_kind, entity_id, actor"
        entries = await connection.execute(f"SELECT {columns} FROM analytics.audit_entry ORDER BY at".encode())
        said = [tuple(row.values()) for row in await entries.fetchall()]
    assert said == [("receiver.test", "receiver", name, "root") for name in ("program", "pager")]


async def test_a_test_says_why_it_was_not_taken_and_repeats_no_secret(
    rig: Rig, server: ReceiverServer, client: httpx.AsyncClient
) -> None:
    rig.environ["SLACK_URL"] = f"{server.url}/slack/T/B/s3cret"
    rig.receiver("slack", kind="slack", url="${env:SLACK_URL}", allow_http=True)
    rig.receiver("unset", kind="slack", url="${env:SLACK_OTHER}", allow_http=True)
    server.always["/slack/T/B/s3cret"] = "echo"
    reply = await client.post("/admin/receivers/slack/test")
    assert (reply.json()["sent"], reply.json()["status"]) == (False, 400)
    assert "s3cret" not in reply.text
    unset = (await client.post("/admin/receivers/unset/test")).json()
    assert unset["sent"] is False
    assert "SLACK_OTHER is not set" in unset["reason"]


async def test_a_receiver_that_the_file_does_not_name_cannot_be_tested(client: httpx.AsyncClient) -> None:
    reply = await client.post("/admin/receivers/nobody/test")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "receiver_not_found")


async def test_only_those_of_the_installation_see_deliveries_and_test_receivers(
    client: httpx.AsyncClient, edge_of_users: EdgeOfUsers
) -> None:
    calls = (("GET", "/admin/deliveries"), ("GET", "/admin/receivers"), ("POST", "/admin/receivers/nobody/test"))
    for role, account, allowed in (("operator", None, True), ("on-call", None, True), ("owner", "acc_acme", False)):
        token = edge_of_users.user(str(role), role, account)  # type: ignore[arg-type]
        for method, path in calls:
            reply = await client.request(method, path, headers={"authorization": f"Bearer {token}"})
            assert (reply.status_code in {200, 404}) is allowed, (role, path, reply.status_code)
            assert allowed or reply.json()["error"]["code"] == "role_not_allowed"
