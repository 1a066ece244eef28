"""Alerts on the running stack: what a rule freezes is refused with the reason, and is undone on record."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.local.environment import load_secrets
from deploy.local.stack import Stack
from deploy.local.traffic import Size
from tests.e2e.commands import Commands
from tests.e2e.driver import Customer, Driver, Reply, chat_body

pytestmark = pytest.mark.stack
WITHIN_S = 60
BODY = chat_body("gpt-4o", Size(50, 10))


@pytest.fixture(scope="module")
def tollbook(running: Stack, described: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """The command line of this stack."""
    return Commands(running.home.stack_file.parent, tmp_path_factory.mktemp("settings"))


@pytest.fixture
async def customer(driver: Driver) -> Customer:
    """An account with money and a key."""
    made = await driver.customer(bot={})
    await driver.top_up(made.account_id, "credit", "10")
    assert (await driver.chat(made.keys["bot"], BODY)).ok
    return made


class Detector:
    """Tells analytics what exceeds, with the meter's own call."""

    def __init__(self, driver: Driver, running: Stack) -> None:
        self._driver = driver
        self._token = load_secrets(running.home)["TOLLBOOK_ANALYTICS_TOKEN"]

    async def say(self, kind: str, subject_id: str, *, exceeded: bool = True, **words: Any) -> None:
        """A verdict on a subject."""
        now = datetime.now(UTC)
        verdict = {
            "rule": "e2e-runaway", "signal": "tokens_per_minute_of_tests", "subject_kind": kind, "subject_id": subject_id,
            "exceeded": exceeded, "calm": not exceeded, "observed": 400_000 if exceeded else 0, "threshold": 200_000,
            "unit": "tokens/min", "window_start": (now - timedelta(minutes=1)).isoformat(), "window_end": now.isoformat(),
            "keep_s": 0,
        }  # fmt: skip
        body = {"meter": "e2e", "sent_at": now.isoformat(), "verdicts": [verdict | words]}
        url = f"{self._driver.stack['analytics_url']}/internal/verdicts"
        reply = await self._driver.http.post(url, json=body, headers={"authorization": f"Bearer {self._token}"})
        assert reply.status_code == 200, reply.text


@pytest.fixture
def detector(driver: Driver, running: Stack) -> Detector:
    """Whoever tells analytics."""
    return Detector(driver, running)


async def alert_of(driver: Driver, subject_id: str) -> dict[str, Any]:
    """The only alert about a subject, whole."""
    (alert,) = (await driver.admin("analytics", f"/admin/alerts?subject_id={subject_id}"))["data"]
    found: dict[str, Any] = await driver.admin("analytics", f"/admin/alerts/{alert['alert_id']}")
    return found


async def refused(driver: Driver, key: str) -> Reply:
    """The first refusal of a key that was let in before, be it edge's or settlement's."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            reply = await driver.chat(key, BODY)
            if reply.status == 403:
                return reply
            await asyncio.sleep(0.05)


async def let_in(driver: Driver, key: str) -> None:
    """Return once the key is let in again."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            if (await driver.chat(key, BODY)).status == 200:
                return
            await asyncio.sleep(0.05)


async def frozen_by(driver: Driver, subject_id: str) -> dict[str, Any]:
    """The alert about a subject, once what it froze is recorded."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            alert = await alert_of(driver, subject_id)
            if alert["freezes"] and alert["freezes"][-1]["state"] == "done":
                return alert
            await asyncio.sleep(0.05)


async def test_a_key_that_runs_away_is_frozen_says_which_alert_did_it_and_its_owner_may_undo_it(
    driver: Driver, customer: Customer, detector: Detector, tollbook: Commands
) -> None:
    about: dict[str, Any] = {"account_id": customer.account_id, "project_id": customer.project_id, "action": "freeze_key"}
    key_id = customer.key_ids["bot"]
    await detector.say("key", key_id, **about)
    reply = await refused(driver, customer.keys["bot"])
    alert = await frozen_by(driver, key_id)
    assert (reply.status, reply.body["error"]["code"]) == (403, "key_frozen")
    assert f"rule e2e-runaway, alert {alert['alert_id']}: 400,000 tokens/min exceeded 200,000" in reply.body["error"]["message"]

    assert [step["kind"] for step in reversed(alert["transitions"])] == ["firing", "acted"]
    text = tollbook("alerts", "show", alert["alert_id"]).text
    assert f"freeze key {key_id}: done" in text
    assert tollbook("alerts", "ack", alert["alert_id"], "--reason", "mine", "--json").json["state"] == "acknowledged"

    grants = [{"role": "owner", "account_id": customer.account_id}]
    made = await driver.admin("edge", "/admin/users", {"name": "Ann", "grants": grants})
    token = (await driver.admin("edge", f"/admin/users/{made['user_id']}/tokens", {"name": "laptop"}))["access_token"]
    url = f"{driver.stack['edge_url']}/admin/keys/{key_id}/unfreeze"
    undone = await driver.http.post(url, json={"reason": "a load test"}, headers={"authorization": f"Bearer {token}"})
    assert undone.status_code == 200, undone.text
    await let_in(driver, customer.keys["bot"])
    log = tollbook("audit-log", "--kind", "key", "--id", key_id, "--json").json["data"]
    assert [(row["service"], row["action"], row["actor_name"]) for row in log if "freeze" in row["action"]] == [
        ("edge", "key.unfreeze", "Ann"),
        ("analytics", "alert.freeze", "alert:e2e-runaway"),
        ("edge", "key.freeze", "alert:e2e-runaway"),
    ]
    await detector.say("key", key_id, exceeded=False, **about)
    assert (await alert_of(driver, key_id))["state"] == "resolved"


async def test_a_rule_that_asks_freezes_the_project_once_somebody_approves(
    driver: Driver, customer: Customer, detector: Detector, tollbook: Commands
) -> None:
    about: dict[str, Any] = {"account_id": customer.account_id, "action": "ask"}
    await detector.say("project", customer.project_id, **about)
    asked = tollbook("alerts", "list", "--account", customer.account_id, "--json").json["data"]
    (alert,) = [row for row in asked if row["subject_id"] == customer.project_id]
    assert [freeze["state"] for freeze in alert["freezes"]] == ["asked"]
    assert (await driver.chat(customer.keys["bot"], BODY)).ok
    assert tollbook("alerts", "approve", alert["alert_id"]).code == 0
    reply = await refused(driver, customer.keys["bot"])
    assert (reply.status, reply.body["error"]["code"]) == (403, "project_frozen")
    assert alert["alert_id"] in reply.body["error"]["message"]
    again = tollbook("alerts", "approve", alert["alert_id"])
    assert (again.code, "asks for no freeze" in again.err) == (3, True)


async def test_a_locked_rule_is_an_operators_to_undo_and_a_silenced_one_freezes_nothing(
    driver: Driver, customer: Customer, detector: Detector, tollbook: Commands
) -> None:
    key_id = customer.key_ids["bot"]
    about: dict[str, Any] = {"account_id": customer.account_id, "action": "freeze_key", "locked": True}
    words = ("--rule", "e2e-runaway", "--key", key_id, "--until", "1h", "--reason", "a load test")
    made = tollbook("alerts", "silences", "add", *words, "--json").json
    await detector.say("key", key_id, **about)
    assert (await alert_of(driver, key_id))["freezes"] == []
    assert key_id in tollbook("alerts", "silences", "list").text
    assert tollbook("alerts", "silences", "end", made["silence_id"]).code == 0
    assert (await refused(driver, customer.keys["bot"])).body["error"]["code"] == "key_frozen"
    assert (await driver.admin("edge", f"/admin/keys/{key_id}"))["frozen_by_operator"] is True


async def test_a_channel_is_taken_out_of_use_by_a_rule_and_back_by_a_person(
    driver: Driver, detector: Detector, tollbook: Commands
) -> None:
    about: dict[str, Any] = {
        "rule": "e2e-errors",
        "signal": "errors_of_tests",
        "unit": "share",
        "observed": 0.9,
        "threshold": 0.2,
    }
    try:
        await detector.say("channel", "pool-b", action="freeze_channel", **about | {"observed": 0.9})
        assert (await frozen_by(driver, "pool-b"))["account_id"] == ""
        assert "alert:e2e-errors" in str((await driver.admin("router", "/admin/channels/pool-b"))["freeze"])
    finally:
        tollbook("channels", "unfreeze", "pool-b")
        await detector.say("channel", "pool-b", exceeded=False, **about | {"observed": 0.0})
