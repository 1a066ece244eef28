"""`tollbook runs|requests|statements|usage|alerts|audit-log` on the running stack, after real requests."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.stack import Stack
from deploy.local.traffic import Size
from schemas.money import parse_amount
from tests.e2e.commands import Commands
from tests.e2e.driver import Driver, chat_body

pytestmark = pytest.mark.stack
SETTLED_WITHIN_S = 120


@pytest.fixture(scope="module")
def tollbook(running: Stack, described: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """The command line of this stack."""
    return Commands(running.home.stack_file.parent, tmp_path_factory.mktemp("settings"))


async def settled(tollbook: Commands, request_id: str, api_key: str) -> dict[str, Any]:
    """The receipt, once the request is settled."""
    for _ in range(SETTLED_WITHIN_S * 5):
        found = tollbook("requests", "show", request_id, "--api-key", api_key, "--json")
        if found.code == 0 and found.json["status"] == "settled":
            receipt: dict[str, Any] = found.json
            return receipt
        await asyncio.sleep(0.2)
    raise AssertionError(f"request {request_id} was not settled: {found.err}")


async def test_what_requests_cost_shows_in_every_view_to_the_unit(tollbook: Commands, driver: Driver, tmp_path: Path) -> None:
    customer = await driver.customer(bot={})
    of = ("--account", customer.account_id)
    assert tollbook("topups", "add", "10", "--bucket", "credit", *of).code == 0
    replies = [await driver.chat(customer.keys["bot"], chat_body(model, Size(50, 10))) for model in ("gpt-4o", "gpt-4o-mini")]
    assert all(reply.ok for reply in replies)
    receipts = [await settled(tollbook, reply.request_id, customer.keys["bot"]) for reply in replies]
    charged = sum(receipt["charge"]["amount_nano"] for receipt in receipts)

    text = tollbook("requests", "show", replies[0].request_id, "--api-key", customer.keys["bot"]).text
    assert receipts[0]["charge"]["arithmetic"] in text
    assert tollbook("requests", "show", replies[0].request_id, *of, "--json").json["charge"] == receipts[0]["charge"]
    by_token = tollbook("requests", "show", replies[0].request_id, *of).text
    again = tollbook("requests", "show", replies[0].request_id, "--api-key", customer.keys["bot"]).text
    assert by_token in {text, again}  # the seal may have come in between
    rows = tollbook("requests", "list", *of, "--json").json["data"]
    assert [row["request_id"] for row in rows] == sorted((reply.request_id for reply in replies), reverse=True)
    listed = tollbook("requests", "list", *of, "--limit", "1").text
    assert (replies[1].request_id in listed, replies[0].request_id in listed) == (True, False)

    usage = tollbook("usage", "--by", "model", *of, "--json").json
    assert {row["model"] for row in usage["data"]} == {"gpt-4o", "gpt-4o-mini"}
    for by in ("model", "key", "project,day", "route", "run"):
        found = tollbook("usage", "--by", by, *of, "--json").json["data"]
        assert (sum(row["charged_nano"] for row in found), sum(row["requests"] for row in found)) == (charged, 2), by
    assert "bot" in tollbook("usage", "--by", "key", *of).text
    assert tollbook("usage", "--by", "colour", *of).code == 2

    statement = tollbook("statements", "get", *of, "--json").json
    assert parse_amount(statement["buckets"][0]["closing"]) == 10 * 10**9 - charged
    assert "closing balance" in tollbook("statements", "get", *of).text
    for form, begin in (("pdf", b"%PDF-"), ("csv", b""), ("json", b"{")):
        file = tmp_path / f"statement.{form}"
        assert tollbook("statements", "get", *of, "--format", form, "--output", str(file)).code == 0
        assert file.read_bytes().startswith(begin)
        assert tollbook("statements", "get", *of, "--format", form).out.startswith(begin)
    wrong = tollbook("statements", "get", "2026-13", *of)
    assert (wrong.code, "no such month" in wrong.err) == (3, True)
    assert tollbook("statements", "get", *of, "--format", "docx").code == 2


async def test_an_owner_lists_the_requests_of_the_own_account_and_of_no_other(
    tollbook: Commands, driver: Driver, described: dict[str, Any], running: Stack, tmp_path: Path
) -> None:
    customer, other = await driver.customer(bot={}, web={}), await driver.customer(bot={})
    for each in (customer, other):
        await driver.top_up(each.account_id, "credit", "10")
    asked = [("bot", "gpt-4o"), ("web", "gpt-4o"), ("bot", "gpt-4o-mini")]
    replies = [await driver.chat(customer.keys[key], chat_body(model, Size(50, 10))) for key, model in asked]
    foreign = await driver.chat(other.keys["bot"], chat_body("gpt-4o", Size(50, 10)))
    receipts = [
        await settled(tollbook, reply.request_id, customer.keys[key]) for (key, _), reply in zip(asked, replies, strict=True)
    ]
    ids = [reply.request_id for reply in replies]
    made = tollbook(
        "users", "create", f"owner {uuid4().hex[:8]}", "--role", "owner", "--account", customer.account_id, "--json"
    )
    token = tollbook("tokens", "create", "laptop", "--user", made.json["user_id"], "--json").json["access_token"]
    owner = Commands(None, tmp_path)
    assert owner("--stack", str(running.home.stack_file), "login", "--token-stdin", stdin=f"{token}\n").code == 0

    rows = owner("requests", "list", "--json").json["data"]
    assert [row["request_id"] for row in rows] == ids[::-1]
    for row, receipt in zip(rows, reversed(receipts), strict=True):
        assert (row["state"], row["charge"]["amount_nano"]) == ("settled", receipt["charge"]["amount_nano"])
    text = owner("requests", "list", "--limit", "1").text
    assert (ids[2] in text, ids[0] in text, f"{receipts[2]['charge']['amount']} USD" in text) == (True, False, True)
    for option, chosen in (
        (("--key", "web"), [ids[1]]),
        (("--model", "gpt-4o"), [ids[1], ids[0]]),
        (("--project", "e2e", "--state", "settled", "--outcome", "succeeded"), ids[::-1]),
        (("--since", "1h", "--state", "refused"), []),
        (("--run", "run_of_nobody"), []),
    ):
        assert [row["request_id"] for row in owner("requests", "list", *option, "--json").json["data"]] == chosen, option
    assert owner("requests", "list", "--state", "gone").code == 3
    assert owner("requests", "list", "--channel", "openai-main", "--key", "web").code == 2
    assert "no account" in owner("requests", "list", "--account", other.account_id).err.lower()
    for account_id, status in ((customer.account_id, 200), (other.account_id, 404), ("acc_0000000000000000", 404)):
        url = f"{described['settlement_url']}/admin/accounts/{account_id}/requests"
        reply = await driver.http.get(url, headers={"authorization": f"Bearer {token}"})
        assert (reply.status_code, foreign.request_id in reply.text) == (status, False)
    everybody = tollbook("requests", "list", "--json", "--limit", "1000000").json["data"]
    assert {*ids, foreign.request_id} <= {row["request_id"] for row in everybody}


async def test_a_refund_gives_back_what_was_charged_once(tollbook: Commands, driver: Driver) -> None:
    customer = await driver.customer(bot={})
    of = ("--account", customer.account_id)
    tollbook("topups", "add", "10", "--bucket", "credit", *of)
    reply = await driver.chat(customer.keys["bot"], chat_body("gpt-4o", Size(50, 10)))
    receipt = await settled(tollbook, reply.request_id, customer.keys["bot"])
    command = ("money", "refund", reply.request_id, "--reason", "cut off", *of)
    assert tollbook(*command).code == 3
    done = tollbook(*command, "--yes", "--json").json
    assert done["amount_nano"] == receipt["charge"]["amount_nano"]
    again = tollbook(*command, "--yes")
    assert (again.code, "left to refund" in again.err) == (3, True)
    assert tollbook("balances", *of, "--json").json["data"][0]["posted_nano"] == 10 * 10**9


async def test_a_run_is_opened_extended_and_closed_by_command(tollbook: Commands, driver: Driver) -> None:
    customer = await driver.customer(bot={}, other={})
    tollbook("topups", "add", "10", "--bucket", "credit", "--account", customer.account_id)
    key = ("--api-key", customer.keys["bot"])
    opened = tollbook("runs", "open", "--budget", "credit=$0.50", "--deadline", "45m", "--label", "research", "--tag", "team=a",
                      "--models", "gpt-4o", *key, "--json").json  # fmt: skip
    run = opened["id"]
    assert (opened["budgets"][0]["budget"], opened["tags"], opened["rules"]["models"]) == ("0.50", {"team": "a"}, ["gpt-4o"])
    assert "0.75 USD" in tollbook("runs", "extend", run, "--budget", "credit=0.25", *key).text
    assert tollbook("runs", "extend", run, *key).code == 2
    assert tollbook("runs", "open", "--budget", "credit", *key).code == 2
    assert [row["id"] for row in tollbook("runs", "list", "--state", "open", *key, "--json").json["data"]] == [run]
    assert "research" in tollbook("runs", "list", "--key", customer.key_ids["bot"], *key).text
    assert tollbook("runs", "show", run, *key, "--json").json["totals"]["requests"] == 0
    assert run in tollbook("runs", "show", run, *key).text
    of = ("--account", customer.account_id)
    assert tollbook("runs", "show", run, *of).text == tollbook("runs", "show", run, *key).text
    assert [row["id"] for row in tollbook("runs", "list", *of, "--json").json["data"]] == [run]
    foreign = tollbook("runs", "close", run, "--yes", "--api-key", customer.keys["other"])
    assert (foreign.code, "another API key" in foreign.err) == (3, True)
    assert tollbook("runs", "close", run, *key).code == 3
    assert tollbook("runs", "close", run, "--yes", *key, "--json").json["state"] == "closed"
    poor = tollbook("runs", "open", "--budget", "credit=11", *key)
    assert (poor.code, "cannot set this budget aside" in poor.err) == (3, True)


def test_alerts_are_listed_and_filtered(tollbook: Commands) -> None:
    found = tollbook("alerts", "list", "--since", "30d", "--json").json
    assert found["object"] == "list"
    firing = tollbook("alerts", "list", "--firing", "--json").json["data"]
    assert [row for row in firing if row["resolved_at"] is not None] == []
    assert tollbook("alerts", "list").code == 0
    assert tollbook("alerts", "list", "--since", "yesterday").code == 2


def test_the_audit_log_merges_the_services_by_time(tollbook: Commands) -> None:
    name = f"audited {uuid4().hex[:8]}"
    account = tollbook("accounts", "create", name, "--json").json["account_id"]
    tollbook("topups", "add", "5", "--bucket", "credit", "--account", account)
    tollbook("budgets", "set", "3", "--account", account)
    tollbook("accounts", "freeze", account, "--reason", "a test of the log")
    rows = tollbook("audit-log", "--account", name, "--json").json["data"]
    assert {row["service"] for row in rows} == {"edge", "settlement"}
    assert [row["at"] for row in rows] == sorted((row["at"] for row in rows), reverse=True)
    assert rows[0]["action"] == "account.freeze"
    assert "a test of the log" in tollbook("audit-log", "--account", name, "--limit", "1").text
    only = tollbook("audit-log", "--account", name, "--service", "settlement", "--json").json["data"]
    assert {row["service"] for row in only} == {"settlement"}
    assert len(tollbook("audit-log", "--limit", "2", "--json").json["data"]) == 2
    assert json.loads(tollbook("audit-log", "--actor", "nobody", "--json").out)["data"] == []
