"""`/v1/usage` and `/admin/usage` on the running stack, after real requests, and why cost changed."""

import asyncio
import csv
import io
from decimal import Decimal
from typing import Any

import httpx
import pytest

from deploy.local.stack import Stack
from deploy.local.traffic import Size
from tests.e2e.commands import Commands
from tests.e2e.driver import Driver, chat_body

LOADED_WITHIN_S = 60


@pytest.fixture(scope="module")
def tollbook(running: Stack, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """The command line of this stack."""
    return Commands(running.home.stack_file.parent, tmp_path_factory.mktemp("settings"))


async def test_usage_by_model_equals_the_receipts_for_the_key_and_for_the_operator(
    driver: Driver, described: dict[str, Any], tollbook: Commands
) -> None:
    customer = await driver.customer(bot={})
    await driver.top_up(customer.account_id, "credit", "10")
    admin = {"authorization": f"Bearer {described['admin_token']}"}
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        replies = [await driver.chat(customer.keys["bot"], chat_body("gpt-4o", Size(50, 10))) for _ in range(2)]
        assert all(reply.ok for reply in replies)
        told = int(sum(Decimal(reply.usage["cost"]) for reply in replies) * 10**9)
        assert told > 0
        key = {"authorization": f"Bearer {customer.keys['bot']}"}
        edge, analytics = f"{described['edge_url']}/v1/usage", f"{described['analytics_url']}/admin/usage"
        asked = {"by": "model,key"}
        for _ in range(LOADED_WITHIN_S * 5):
            report = (await http.get(edge, params=asked, headers=key)).json()
            # The page is read before its totals: what is loaded in between is in one of the two alone.
            whole = [report["totals"], *report["data"]]
            if len(whole) == 2 and all(
                each["requests"] == 2 and [cost["cost_nano"] for cost in each["costs"]] == [told] for each in whole
            ):
                break
            await asyncio.sleep(0.2)
        else:
            raise AssertionError(f"the report is not what the client was told: {report}")
        (row,) = report["data"]
        assert (row["model"], row["key_name"], row["requests"], row["failed"]) == ("gpt-4o", "bot", 2, 0)
        own = {**asked, "account_id": customer.account_id}
        assert (await http.get(analytics, params=own, headers=admin)).json()["data"] == report["data"]
        sheet = await http.get(edge, params=asked, headers={**key, "accept": "text/csv"})
        assert sheet.headers["content-type"].startswith("text/csv")
        (line,) = csv.DictReader(io.StringIO(sheet.text, newline=""))
        assert (line["model"], line["cost_USD"]) == ("gpt-4o", row["costs"][0]["cost"])
        key_option = ("--api-key", customer.keys["bot"])
        written = await asyncio.to_thread(tollbook, "usage", "report", "--by", "model,key", "--csv", *key_option)
        assert written.out == sheet.content
        everyone = ("--all-accounts", "--by", "account,channel", "--limit", "1000000")
        of_all = (await asyncio.to_thread(tollbook, "usage", "report", *everyone, "--json")).json
        assert sum(each["requests"] for each in of_all["data"] if each["account_id"] == customer.account_id) == 2
        month = (await asyncio.to_thread(tollbook, "usage", "--account", customer.account_id, "--json")).json
        assert [each["charged_nano"] for each in month["data"]] == [told], "the ledger says the same"
        assert (await http.get(edge, params={"by": "channel"}, headers=key)).status_code == 400
        by_channel = await http.get(analytics, params={**own, "by": "channel"}, headers=admin)
        assert by_channel.json()["data"][0]["channel"]
        for text in ("'", "\\", "a\"\\'b", "{x:String}", "%s", "é😀"):
            asked_for = {"model": text, "tag": [text, f"a={text}"], "by": f"tag:{text}"}
            found = await http.get(edge, params=asked_for, headers=key)
            assert (found.status_code, found.json()["data"]) == (200, []), text


async def test_a_first_week_is_explained_by_its_requests_to_the_key_and_to_the_operator(
    driver: Driver, described: dict[str, Any], tollbook: Commands
) -> None:
    customer = await driver.customer(bot={})
    await driver.top_up(customer.account_id, "credit", "10")
    key = {"authorization": f"Bearer {customer.keys['bot']}"}
    admin = {"authorization": f"Bearer {described['admin_token']}"}
    edge, analytics = f"{described['edge_url']}/v1/usage", f"{described['analytics_url']}/admin/usage/explain"
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        replies = [await driver.chat(customer.keys["bot"], chat_body("gpt-4o", Size(50, 10))) for _ in range(2)]
        assert all(reply.ok for reply in replies)
        told = int(sum(Decimal(reply.usage["cost"]) for reply in replies) * 10**9)
        for _ in range(LOADED_WITHIN_S * 5):
            answer = (await http.get(f"{edge}/explain", headers=key)).json()
            # Names come with the ends of requests, which another topic tells than that of charges.
            names = {one["name"] for each in answer["data"] for effect in each["effects"] for one in effect["contributors"]}
            if "bot" in names and answer["data"][0]["after"]["cost_nano"] == told:
                break
            await asyncio.sleep(0.2)
        else:
            raise AssertionError(f"the explanation is not of what the client was told: {answer}")
        (block,) = answer["data"]
        assert {each["effect"]: each["change_nano"] for each in block["effects"] if each["change_nano"]} == {"volume": told}
        assert "2 charged requests where there had been none" in block["summary"]
        assert block["notes"] == []  # every price is known, and every charge says what was planned
        spans = {name: answer[name] for name in ("from", "to", "against_from", "against_to")}
        own = {**spans, "account_id": customer.account_id}
        assert (await http.get(analytics, params=own, headers=admin)).json()["data"] == answer["data"]
        assert (await http.get(f"{edge}/explain", params={"against_from": "never"}, headers=key)).status_code == 400
        report = (await http.get(edge, params={"from": spans["from"], "to": spans["to"]}, headers=key)).json()
        assert [each["cost_nano"] for each in report["totals"]["costs"]] == [told]
    asked = [part for name, value in spans.items() for part in (f"--{name.replace('_', '-')}", value)]
    shown = tollbook("usage", "explain", *asked, "--api-key", customer.keys["bot"])
    assert (shown.code, block["summary"] in shown.text) == (0, True)
    by_token = tollbook("usage", "explain", *asked, "--account", customer.account_id, "--json")
    assert by_token.json["data"] == answer["data"]
