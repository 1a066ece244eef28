"""From a key on the dashboard to its requests and to a receipt, in a real Chromium: what stands there is the receipt and SQL.

Whoever pays names things as they like: a key, a tag and a model here are markup that would change the page's title.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import clickhouse_connect
import httpx
import pytest
from playwright.sync_api import Page, expect

from schemas.money import format_amount
from tests.browser import (
    LIVE_WITHIN_MS,
    PAGE_BYTES_BEYOND_THE_CHARTS,
    beyond_a_pause,
    browsing,
    bytes_beyond_the_charts,
    fits_the_screen,
    text_of,
)
from tests.e2e.driver import Customer, Driver
from tests.integration.analytics.process import until

pytestmark = pytest.mark.stack
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
MODEL = "gpt-4o"
TITLE = "Tollbook · operations"
DARK = "rgb(15, 20, 27)"
SQL = """
SELECT toString(request_id), outcome, error_class, attempts, fallbacks, channel, cost_nano, currency
FROM completions FINAL WHERE key_id = {key:String} ORDER BY occurred_at DESC
"""


@dataclass(frozen=True)
class Traffic:
    """Three requests of one key: answered after a fallback, answered at once, refused."""

    stack: dict[str, Any]
    customer: Customer
    fallen_back: str
    plain: str
    refused: str

    @property
    def key_id(self) -> str:
        """Of the key with the hostile name."""
        return self.customer.key_ids[HOSTILE]

    def get(self, service: str, path: str) -> Any:
        """An admin call as root."""
        headers = {"authorization": f"Bearer {self.stack['admin_token']}"}
        return httpx.get(f"{self.stack[f'{service}_url']}{path}", headers=headers, timeout=60).raise_for_status().json()

    def receipt(self, request_id: str) -> Any:
        """As edge gives it."""
        return self.get("edge", f"/admin/accounts/{self.customer.account_id}/receipts/{request_id}")

    def is_told(self) -> bool:
        """Whether analytics has all of them, and the ledger has settled."""
        rows = self.get("analytics", f"/admin/requests?account_id={self.customer.account_id}")["data"]
        return len(rows) == 3 and all(self.receipt(each)["status"] == "settled" for each in (self.fallen_back, self.plain))


async def _ask(stack: dict[str, Any]) -> Traffic:
    async with Driver(stack) as driver:
        customer = await driver.customer(**{HOSTILE: {}})
        for bucket in ("credit", "wallet"):
            await driver.top_up(customer.account_id, bucket, "5")
        key, body = (
            customer.keys[HOSTILE],
            {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 20},
        )
        plain = await driver.chat(key, body)
        await driver.faults("openai-main", [{"kind": "500", "times": 1}])
        try:
            fallen_back = await driver.chat(key, body, **{"x-tollbook-tags": f"note={HOSTILE}"})
        finally:
            await driver.clear_faults()
        refused = await driver.chat(key, {**body, "model": HOSTILE})
        assert (plain.ok, fallen_back.ok, refused.status) == (True, True, 404), (plain, fallen_back, refused)
    return Traffic(stack, customer, fallen_back.request_id, plain.request_id, refused.request_id)


@pytest.fixture(scope="module")
def traffic(described: dict[str, Any]) -> Traffic:
    """The requests, settled and loaded."""
    told = asyncio.run(_ask(described))
    until(told.is_told, "the requests are settled and loaded")
    return told


@pytest.fixture
def opened(traffic: Traffic) -> Iterator[tuple[Page, list[str], dict[str, int]]]:
    """The dashboard on a phone in the dark, signed in, of the customer's project alone."""
    with browsing() as (page, problems, sizes):
        page.goto(f"{traffic.stack['analytics_url']}/dashboard#1h&project_id={traffic.customer.project_id}")
        page.fill("#token", traffic.stack["admin_token"])
        page.click("#token-form button")
        expect(page.locator("#keys tbody tr")).to_have_count(1, timeout=LIVE_WITHIN_MS)
        yield page, problems, sizes


def cells(page: Page, row: int) -> list[str]:
    """What a row of the list says."""
    return [str(text) for text in page.locator("#requests-list tbody tr").nth(row).locator("td").all_inner_texts()]


def check_list(page: Page, traffic: Traffic) -> None:
    """The list is what SQL says, newest first, and the refused request is among them."""
    expect(page.locator("#requests-list tbody tr")).to_have_count(3, timeout=LIVE_WITHIN_MS)
    client = clickhouse_connect.get_client(dsn=traffic.stack["clickhouse_url"])
    try:
        rows = client.query(SQL, parameters={"key": traffic.key_id}).result_rows
    finally:
        client.close()
    assert [row[0] for row in rows] == [traffic.fallen_back, traffic.plain]
    for place, (request_id, outcome, _, attempts, fallbacks, channel, cost_nano, currency) in enumerate(rows, start=1):
        said = cells(page, place)
        assert (said[1], said[2], said[5], said[4]) == (request_id, HOSTILE, outcome, channel)
        assert said[8:10] == [str(attempts), str(fallbacks)]
        shown, shown_currency = said[6].split()
        assert format_amount(cost_nano).startswith(shown)
        assert (shown_currency, float(shown) > 0) == (currency, True)
    refused = cells(page, 0)
    assert (refused[1], refused[3], refused[5]) == (traffic.refused, HOSTILE, "rejected: model_not_found")


def check_receipt(page: Page, traffic: Traffic) -> None:
    """The receipt on the page is the receipt of edge: attempts with why each failed, the sum, the balance, the tag."""
    told = traffic.receipt(traffic.fallen_back)
    expect(page.locator("#receipt-status")).to_have_text("settled", timeout=LIVE_WITHIN_MS)
    charge, balance = told["charge"], told["balance"]
    assert text_of(page, "#receipt-amount") == f"{charge['amount']} {charge['currency']}"
    assert text_of(page, "#receipt-arithmetic") == charge["arithmetic"]
    money = text_of(page, "#receipt-balance")
    assert f"{format_amount(balance['before_nano'])} {charge['currency']}" in money
    assert f"{format_amount(balance['after_nano'])} {charge['currency']}" in money
    tries = page.locator("#receipt-attempts tbody tr")
    assert tries.count() == len(told["attempts"]) == 2
    for number, attempt in enumerate(told["attempts"]):
        said = str(tries.nth(number).inner_text())
        assert f"{attempt['channel']} → {attempt['upstream_model']}" in said
        assert attempt["outcome"] in said
    assert "HTTP 500" in str(tries.nth(0).inner_text())
    assert page.locator("#receipt-plan li").count() == len(told["plan"])
    assert page.locator("#receipt-holds tbody tr").count() == len(told["holds"])
    assert [f"note={HOSTILE}" in text_of(page, "#receipt-who"), HOSTILE in text_of(page, "#receipt-why")] == [True, True]
    assert str(page.locator("#receipt-why li").last.inner_text()) == told["explanation"][-1]
    with page.expect_download() as saved:
        page.click("#raw")
    assert json.loads(saved.value.path().read_text()) == told


def test_a_key_leads_to_its_requests_and_to_a_receipt(traffic: Traffic, opened: tuple[Page, list[str], dict[str, int]]) -> None:
    page, problems, sizes = opened
    page.click("#keys tbody td:nth-child(3) a")
    check_list(page, traffic)
    assert fits_the_screen(page), "the list is wider than a phone"
    page.click(f"#requests-list a:has-text('{traffic.fallen_back}')")
    check_receipt(page, traffic)
    assert fits_the_screen(page), "the receipt is wider than a phone"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == DARK
    page.go_back()
    expect(page.locator("#receipt")).to_be_hidden(timeout=LIVE_WITHIN_MS)
    expect(page.locator("#requests-list tbody tr")).to_have_count(3, timeout=LIVE_WITHIN_MS)
    page.click(f"#requests-list a:has-text('{traffic.refused}')")
    expect(page.locator("#receipt-refusal")).to_contain_text("model_not_found", timeout=LIVE_WITHIN_MS)
    page.reload()
    expect(page.locator("#receipt-refusal")).to_contain_text(HOSTILE, timeout=LIVE_WITHIN_MS)
    page.go_back()
    page.go_back()
    expect(page.locator("#keys tbody tr")).to_have_count(1, timeout=LIVE_WITHIN_MS)
    assert (page.title(), page.locator("img[src=x]").count(), beyond_a_pause(problems)) == (TITLE, 0, [])
    assert 0 < bytes_beyond_the_charts(sizes) < PAGE_BYTES_BEYOND_THE_CHARTS


def test_a_channels_failures_lead_to_the_requests_that_failed_there(
    traffic: Traffic, opened: tuple[Page, list[str], dict[str, int]]
) -> None:
    page, problems, _ = opened
    page.click("#channels tr:has-text('openai-main') a")
    expect(page.locator("#requests-list tbody tr")).to_have_count(1, timeout=LIVE_WITHIN_MS)
    assert cells(page, 0)[1] == traffic.fallen_back
    assert text_of(page, "#narrowed").startswith("failed on: openai-main")
    page.click("#narrowed a")
    expect(page.locator("#requests-list tbody tr")).to_have_count(3, timeout=LIVE_WITHIN_MS)
    assert beyond_a_pause(problems) == []


def test_a_range_of_ones_own_is_checked_kept_in_the_address_and_stands_still(
    opened: tuple[Page, list[str], dict[str, int]],
) -> None:
    page, problems, _ = opened
    ledger = page.locator(".tile:has(#total-ledger)")
    expect(ledger).to_contain_text(re.compile(r"ledger lag, [\d.,KM]+ waiting"), timeout=LIVE_WITHIN_MS)
    page.click("#custom")
    end = datetime.now(UTC) - timedelta(hours=3)
    page.fill("#span-from", f"{end:%Y-%m-%dT%H:%M:%S}")
    page.fill("#span-to", f"{end - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}")
    page.click("#span button")
    expect(page.locator("#span-problem")).to_have_text("The range has to begin before it ends.", timeout=LIVE_WITHIN_MS)
    page.fill("#span-from", f"{end - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}")
    page.fill("#span-to", f"{end:%Y-%m-%dT%H:%M:%S}")
    page.click("#span button")
    expect(page.locator("#keys tbody tr")).to_have_count(0, timeout=LIVE_WITHIN_MS)
    assert page.evaluate("location.hash").startswith("#custom&")
    expect(page.locator("#freshness")).to_have_text("not live: it is over", timeout=LIVE_WITHIN_MS)
    assert page.locator("#refresh").is_disabled()
    assert "UTC" in text_of(page, "#span-zone")
    assert fits_the_screen(page)
    page.go_back()
    expect(page.locator("#keys tbody tr")).to_have_count(1, timeout=LIVE_WITHIN_MS)
    assert page.locator("#refresh").is_enabled()
    assert beyond_a_pause(problems) == []
