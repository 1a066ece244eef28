"""The dashboard: its data are the events' sums, and its page, in a real Chromium, shows these data."""

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from playwright.sync_api import Page, expect

from schemas.attempts import AttemptFinished, FallbackTaken, RequestCompleted
from schemas.envelope import Event
from schemas.ledger import Captured
from schemas.money import format_amount
from schemas.requests import RequestRejected
from tests.browser import (
    LIVE_WITHIN_MS,
    PAGE_BYTES_BEYOND_THE_CHARTS,
    PHONE,
    browsing,
    bytes_beyond_the_charts,
    fits_the_screen,
    text_of,
)
from tests.integration.analytics.process import ADMIN_TOKEN, Analytics, running, until
from tests.integration.analytics.stories import publish, stories
from tests.integration.analytics.verdicts import of_key, say

HOSTILE = "<img src=x>"
CALLS_OF_A_LOAD = 5  # series, tables, alerts, the loader's lag and the ledger's, at the same time
E = TypeVar("E", bound=Event)


def tell(analytics: Analytics, events: list[Event]) -> None:
    """Publish the events and wait until all are rows."""
    before = sum(count["rows"] for count in analytics.counts().values())
    # In a thread of its own: while a browser is open, its event loop runs in this one.
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(lambda: asyncio.run(publish(analytics.environment["KAFKA_BOOTSTRAP_SERVERS"], events))).result()
    until(lambda: sum(c["rows"] for c in analytics.counts().values()) == before + len(events), "every event is a row")
    until(lambda: all(part["lag"] == 0 for part in analytics.get("/admin/lag").json()["partitions"]), "every row is summed up")


def an_hours_events(now: datetime) -> list[Event]:
    """Requests of the last fifty minutes."""
    return [event for story in stories(400, seed=3, start=now - timedelta(minutes=50), spread_s=2900) for event in story]


def of_type(events: list[Event], kind: type[E]) -> list[E]:
    """The events of one type."""
    return [event for event in events if isinstance(event, kind)]


def steps(events: list[Any], data: dict[str, Any]) -> list[int]:
    """How many of the events fall into each step of the answer."""
    found = Counter(int(event.occurred_at.timestamp()) // data["step_seconds"] * data["step_seconds"] for event in events)
    return [found[time] for time in data["times"]]


def check_series(data: dict[str, Any], events: list[Event]) -> None:
    """What is drawn over time equals the events."""
    completed = of_type(events, RequestCompleted)
    drawn = {series["name"]: series["values"] for series in data["requests"]}
    for outcome in ("succeeded", "failed"):
        assert drawn[outcome] == steps([event for event in completed if event.data.outcome == outcome], data)
    assert drawn["rejected"] == steps(of_type(events, RequestRejected), data)
    assert sum(drawn["failed"]) > 0

    paid = [
        next(a for a in e.data.attempts if a.attempt == e.data.charged_attempt) for e in completed if e.data.charged_attempt
    ]
    everything = sum(attempt.usage.total_tokens for event in completed for attempt in event.data.attempts)
    assert data["totals"]["tokens"]["output"] == sum(attempt.usage.output_tokens for attempt in paid)
    assert data["totals"]["tokens"]["burned"] == everything - sum(attempt.usage.total_tokens for attempt in paid) > 0
    assert sum(data["totals"]["tokens"].values()) == everything

    pairs = Counter(f"{e.data.fallback.from_channel} → {e.data.fallback.to_channel}" for e in of_type(events, FallbackTaken))
    assert {series["name"]: sum(series["values"]) for series in data["fallbacks"]} == pairs
    check_spend(data, of_type(events, Captured))


def check_spend(data: dict[str, Any], captures: list[Captured]) -> None:
    """Spend equals the captures to the last nano, per currency."""
    spent: Counter[tuple[str, str, str]] = Counter()
    for event in captures:
        spent[event.data.balance.currency, event.data.balance.bucket, event.data.route_type] += event.data.captured_nano
    shown = {(row["currency"], row["bucket"], row["route_type"]): row["amount_nano"] for row in data["spend_by_route"]}
    assert shown == spent
    assert {currency for currency, _, _ in shown} == {"USD", "CNY"}
    assert [chart["currency"] for chart in data["spend"]] == ["CNY", "USD"]


def check_tables(data: dict[str, Any], events: list[Event]) -> None:
    """What is listed equals the events."""
    tries = of_type(events, AttemptFinished)
    by_channel = Counter(event.data.attempt.channel for event in tries)
    failed = Counter(event.data.attempt.channel for event in tries if event.data.attempt.outcome != "succeeded")
    assert {row["channel"]: row["attempts"] for row in data["errors_by_channel"]} == by_channel
    assert {row["channel"]: row["failed"] for row in data["errors_by_channel"] if row["failed"]} == failed
    requests = Counter(event.data.key.key_id for event in of_type(events, RequestCompleted))
    assert {row["key_id"]: row["requests"] for row in data["top_keys"]} == requests
    latencies = sorted(e.data.latency_ms for e in of_type(events, RequestCompleted) if e.data.outcome == "succeeded")
    assert data["latency"]["latency_p50"] == pytest.approx(latencies[len(latencies) // 2], rel=0.02)


def _wait_for_refusal(page: Page, problems: list[str]) -> None:
    """Until the console has told of each refused call, and of nothing else: the page already speaks after the first of them."""
    while len(problems) < CALLS_OF_A_LOAD:
        page.wait_for_event("console", timeout=LIVE_WITHIN_MS)
    assert [problem for problem in problems if "401" not in problem] == []


def check_page(page: Page, data: dict[str, Any]) -> None:
    """The tiles and tables say what the data calls answer, and every chart is drawn."""
    requests = data["totals"]["requests"]
    assert text_of(page, "#total-requests") == str(sum(requests.values()))
    assert text_of(page, "#total-fallbacks") == str(data["totals"]["fallbacks"])
    for currency in ("USD", "CNY"):
        nano = sum(row["amount_nano"] for row in data["spend_by_route"] if row["currency"] == currency)
        shown = text_of(page, f"#total-{currency}")
        assert format_amount(nano).startswith(shown), (currency, shown, nano)
        assert float(shown) > 0
    assert page.locator(".chart canvas").count() == 8
    assert page.locator("#keys tbody tr").count() == 6
    assert "key000000000" in text_of(page, "#alerts")
    assert fits_the_screen(page), "the page is wider than a phone"


def check_units(page: Page, analytics: Analytics) -> None:
    """Shares are percentages, and money is an amount of its currency."""
    share = {"signal": "error_rate_by_channel", "unit": "share", "threshold": 0.2}
    spent = {"signal": "spend_by_route", "unit": "nano USD", "threshold": 5e9}
    for rule, words, observed in (("failing", share, 0.425), ("spending", spent, 12.5e9)):
        verdict = of_key("k_units", 0, **words, rule=rule, exceeded=True, calm=False)
        say(analytics, replace(verdict, observed=observed))
    for told in ("42.5%", "20.0%", "12.50 USD", "5.00 USD"):
        expect(page.locator("#alerts tbody td.number", has_text=told)).to_have_count(1, timeout=LIVE_WITHIN_MS)


def check_filter(page: Page, events: list[Event]) -> None:
    """A click on a key shows that key alone, in the address too; and all again."""
    of_key = Counter(event.data.key.key_id for event in of_type(events, RequestCompleted))
    everything = text_of(page, "#total-requests")
    chosen = text_of(page, "#keys tbody tr:first-child code")
    page.click("#keys tbody tr:first-child button")
    expect(page.locator("#keys tbody tr")).to_have_count(1, timeout=LIVE_WITHIN_MS)
    assert f"key_id={chosen}" in page.evaluate("location.hash")
    assert page.input_value("#filters [name=key_id]") == chosen
    shown = page.evaluate("Number(document.querySelector('#keys tbody tr td:nth-child(3)').textContent)")
    assert shown == of_key[chosen]
    page.fill("#filters [name=tag]", "feature=nobody's")
    page.click("#filters [type=submit]")
    expect(page.locator("#keys tbody tr")).to_have_count(0, timeout=LIVE_WITHIN_MS)
    page.click("#all")
    expect(page.locator("#total-requests")).to_have_text(everything, timeout=LIVE_WITHIN_MS)
    marked = "echarts.getInstanceByDom(document.getElementById('requests')).getOption().series[0].markArea.data.length"
    assert page.evaluate(marked) == 2, "both alerts are drawn into the chart"


def check_window_names(page: Page) -> None:
    """What an alert is about is drawn as text, whatever it is made of: a tooltip's answer is read as markup."""
    areas = "echarts.getInstanceByDom(document.getElementById('requests')).getOption().series[0].markArea"
    said = page.evaluate(f"{areas}.data.map(([begin]) => {areas}.tooltip.formatter(begin))")
    assert [HOSTILE in text or "<" in text for text in said] == [False, False]
    assert sum("&lt;img" in text for text in said) == 1
    assert page.locator("img[src=x]").count() == 0


FIRST_BAR = """() => {
    const dom = document.getElementById("requests"), chart = echarts.getInstanceByDom(dom);
    dom.scrollIntoView({ block: "center" });
    if (chart.getWidth() !== dom.clientWidth) return null;
    const values = chart.getOption().series[0].data, step = values.findIndex(Boolean);
    const [x, y] = chart.convertToPixel({ seriesIndex: 0 }, [step, values[step] / 2]), at = dom.getBoundingClientRect();
    return { x: at.x + x, y: at.y + y, requests: values[step] };
}"""


def check_step(page: Page, analytics: Analytics, now: datetime) -> None:
    """A click on a step of a chart lists the requests of that step and outcome."""
    span = {"from": (now - timedelta(minutes=40)).isoformat(), "to": (now - timedelta(minutes=20)).isoformat()}
    totals = analytics.get("/admin/dashboard/series", **span).json()["totals"]["requests"]
    page.set_viewport_size({"width": 1600, "height": 900})
    page.evaluate("said => { location.hash = `custom&${new URLSearchParams(said)}`; }", span)
    expect(page.locator("#total-requests")).to_have_text(str(sum(totals.values())), timeout=LIVE_WITHIN_MS)
    bar = page.wait_for_function(FIRST_BAR).json_value()
    page.mouse.click(bar["x"], bar["y"])
    expect(page.locator("#requests-list tbody tr")).to_have_count(bar["requests"], timeout=LIVE_WITHIN_MS)
    assert text_of(page, "#narrowed").startswith("outcome: succeeded")
    page.go_back()
    page.set_viewport_size(PHONE)
    expect(page.locator("#board")).to_be_visible(timeout=LIVE_WITHIN_MS)


def test_the_dashboard_shows_what_the_events_say(analytics: Analytics, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    events = an_hours_events(now)
    analytics.environment["TZ"] = "UTC"
    with running(analytics):
        analytics.wait_until_ready()
        tell(analytics, events)
        say(analytics, of_key("key000000000", 400_000))
        span = {"from": (now - timedelta(hours=1)).isoformat(), "to": (now + timedelta(minutes=2)).isoformat()}
        data = analytics.get("/admin/dashboard/series", **span).json()
        check_series(data, events)
        check_tables(analytics.get("/admin/dashboard/tables", **span).json(), events)
        with browsing() as (page, problems, sizes):
            page.goto(f"{analytics.url}/dashboard")
            page.fill("#token", "not the token")
            page.click("#token-form button")
            expect(page.locator("#token-problem")).to_have_text(
                "This token opens nothing: give the admin token, or an access token that is in force."
            )
            _wait_for_refusal(page, problems)
            problems.clear()
            page.fill("#token", ADMIN_TOKEN)
            page.click("#token-form button")
            page.wait_for_selector("#keys tbody tr")
            check_page(page, data)
            assert text_of(page, "#total-firing") == "1"
            say(analytics, of_key(HOSTILE, 400_000))
            expect(page.locator("#total-firing")).to_have_text("2", timeout=LIVE_WITHIN_MS)
            assert HOSTILE in text_of(page, "#alerts")
            assert text_of(page, "#total-ledger") == "away", "nobody told analytics where settlement is"
            check_filter(page, events)
            check_window_names(page)
            check_step(page, analytics, now)
            page.click("#ranges button >> text=15m")
            expect(page.locator("#total-requests")).not_to_have_text(str(sum(data["totals"]["requests"].values())))
            check_units(page, analytics)
            page.screenshot(path=tmp_path / "phone.png", full_page=True)
            assert problems == []
            assert 0 < bytes_beyond_the_charts(sizes) < PAGE_BYTES_BEYOND_THE_CHARTS
            assert {url for url in sizes if not url.startswith(analytics.url)} == set()
