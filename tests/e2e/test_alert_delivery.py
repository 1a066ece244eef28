"""An alert that fires arrives at a receiver outside of the stack, signed, with all that on-call asks; so does its end."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson
import pytest

from deploy.local.stack import Stack
from services.analytics.alerts.records import VERDICTS
from services.analytics.alerts.verdict import Verdict
from tests.e2e.commands import Commands
from tests.e2e.conftest import WEBHOOK_SECRET
from tests.e2e.driver import Customer, Driver
from tests.integration.analytics.delivery.rig import until
from tests.integration.analytics.delivery.server import ReceiverServer, serving

pytestmark = pytest.mark.stack
MOST_KEYS = 30
RULES = """
receivers:
  program-{port}: {{kind: webhook, url: "{url}/webhook", secret: "${{env:WEBHOOK_SECRET}}", allow_http: true}}
  e2e-unset: {{kind: slack, url: "${{env:SLACK_OF_NOBODY}}"}}
rules:
  - {{id: e2e-delivery, signal: tokens_per_minute_by_key, floor: 999999999, notify: [program-{port}]}}
"""


@pytest.fixture(scope="module")
def tollbook(running: Stack, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """The command line of this stack."""
    return Commands(running.home.stack_file.parent, tmp_path_factory.mktemp("settings"))


@pytest.fixture
async def server() -> AsyncIterator[ReceiverServer]:
    """A program that takes alerts."""
    async with serving(ReceiverServer(WEBHOOK_SECRET)) as found:
        yield found


@pytest.fixture
async def receiver(driver: Driver, server: ReceiverServer) -> AsyncIterator[str]:
    """The name of the server among the receivers of the rules in force; the rules of before are in force afterwards."""
    port = server.url.rsplit(":", 1)[1]
    before = (await driver.admin("analytics", "/admin/alert-rules"))["file"]
    await put_rules(driver, RULES.format(url=server.url, port=port))

    async def known() -> bool:
        found = await driver.admin("analytics", "/admin/receivers")
        return f"program-{port}" in [each["name"] for each in found["data"]]

    await until(known, "the receivers are in force")
    yield f"program-{port}"
    await put_rules(driver, before)


async def put_rules(driver: Driver, text: str) -> None:
    """Put a rule file in force."""
    headers = {"authorization": f"Bearer {driver.stack['admin_token']}", "content-type": "application/yaml"}
    url = f"{driver.stack['analytics_url']}/admin/alert-rules"
    reply = await driver.http.put(url, content=text.encode(), headers=headers)
    assert reply.is_success, reply.text


def verdict(customer: Customer, key: str, receiver: str, observed: int) -> Verdict:
    """What a detector says of the customer's key."""
    at = datetime.now(UTC)
    return Verdict(
        rule="e2e-delivery",
        signal="tokens_per_minute_by_key",
        subject_kind="key",
        subject_id=customer.key_ids[key],
        account_id=customer.account_id,
        project_id=customer.project_id,
        exceeded=observed > 60_000,
        calm=observed < 48_000,
        observed=observed,
        baseline=1_000.0,
        threshold=60_000,
        unit="tokens/min",
        window_start=at - timedelta(minutes=1),
        window_end=at,
        severity="page",
        keep_s=0,
        receivers=(receiver,),
        runbook="https://runbooks.example.com/runaway-key",
        detail={"cost_nano": {"USD": 1_250_000_000}},
    )


async def say(driver: Driver, token: str, said: Verdict) -> None:
    """Tell analytics, as a detector does."""
    body = {"meter": "meter-of-e2e", "sent_at": datetime.now(UTC), "verdicts": VERDICTS.dump_python([said])}
    url = f"{driver.stack['analytics_url']}/internal/verdicts"
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    reply = await driver.http.post(url, content=orjson.dumps(body), headers=headers)
    assert reply.is_success, reply.text


def told_of(server: ReceiverServer, event: str, key_id: str) -> dict[str, Any]:
    """What the program was told of the key, empty while it was not: the same message may come twice."""
    return next((each for each in server.got["/webhook"] if (each["type"], each["data"]["subject_id"]) == (event, key_id)), {})


async def fired(
    driver: Driver, server: ReceiverServer, token: str, customer: Customer, receiver: str
) -> tuple[str, dict[str, Any]]:
    """A key whose alert fired, and what was told of it: where a message could not wait for edge's names, the next key's."""
    for key, key_id in customer.key_ids.items():
        await say(driver, token, verdict(customer, key, receiver, 200_000))
        told = await until(partial(told_of, server, "alert.firing", key_id), "the alert arrives")
        if told["data"]["owner"]["account_name"]:
            return key, told["data"]
        await asyncio.sleep(1)  # edge is left alone for a while
    raise AssertionError(f"none of {MOST_KEYS} messages named its owners")


async def test_an_alert_arrives_signed_and_so_does_its_end(
    running: Stack, driver: Driver, server: ReceiverServer, receiver: str, tollbook: Commands
) -> None:
    token = running.told("analytics")["TOLLBOOK_ANALYTICS_TOKEN"]
    keys: dict[str, dict[str, Any]] = {f"bot-{number}": {} for number in range(MOST_KEYS)}
    customer = await driver.customer(**keys)
    grant = {"role": "owner", "account_id": customer.account_id}
    await driver.admin("edge", "/admin/users", {"name": "Ada of e2e", "grants": [grant]})

    key, told = await fired(driver, server, token, customer, receiver)
    assert (told["observed"], told["baseline"]) == (200_000, 1_000)
    assert told["owner"] == {"account_name": "e2e", "project_name": "e2e", "key_name": key, "people": ["Ada of e2e"]}
    assert told["cost_nano"] == {"USD": 1_250_000_000}
    steps = {each["label"]: each["text"] for each in told["next_steps"]}
    assert steps["Freeze"].startswith(f"tollbook keys freeze {customer.key_ids[key]} ")
    assert steps["Acknowledge"] == f"tollbook alerts ack {told['alert_id']}"
    assert steps["Dashboard"].startswith(driver.stack["analytics_url"])

    await say(driver, token, verdict(customer, key, receiver, 10))
    over = partial(told_of, server, "alert.resolved", customer.key_ids[key])
    assert (await until(over, "its end arrives"))["data"]["alert_id"] == told["alert_id"]

    async def recorded() -> list[dict[str, Any]]:
        found = await asyncio.to_thread(tollbook, "alerts", "deliveries", "--alert", told["alert_id"], "--json")
        return [row for row in found.json["data"] if row["state"] == "sent"]

    async def both() -> bool:
        return len(await recorded()) == 2

    await until(both, "both are recorded")
    assert [row["event"] for row in await recorded()] == ["resolved", "firing"]


async def test_a_receiver_is_tested_from_the_command_line(server: ReceiverServer, receiver: str, tollbook: Commands) -> None:
    ran = await asyncio.to_thread(tollbook, "alerts", "test-receiver", receiver)
    assert (ran.code, ran.text.split(" took ")[0]) == (0, f"{receiver} (webhook)"), ran.err
    assert "alert.test" in [each["type"] for each in server.got["/webhook"]]
    refused = await asyncio.to_thread(tollbook, "alerts", "test-receiver", "e2e-unset")
    assert refused.code == 3
    assert "SLACK_OF_NOBODY is not set" in refused.err
    listed = (await asyncio.to_thread(tollbook, "alerts", "receivers")).text
    assert "SLACK_OF_NOBODY" in listed
    assert WEBHOOK_SECRET not in listed
