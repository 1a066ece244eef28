"""The admin calls, over a store with a known story."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from schemas import topics
from services.analytics.rows.registry import TOPICS
from tests.edge_of_users import SERVICE_TOKEN, EdgeOfUsers, running_edge
from tests.integration.analytics.process import ADMIN_TOKEN, EDGE_TOKEN, Analytics, running, until
from tests.integration.analytics.stories import publish, stories, velocity_alert
from tests.integration.analytics.topic_contents import distinct_events, events_of
from tests.integration.analytics.verdicts import of_key, say

LIVE = "/admin/requests/live"
ADMIN_PATHS = ("/admin/lag", "/admin/counts", "/admin/alerts", "/admin/dashboard/series", "/admin/dashboard/tables", LIVE)


async def test_the_admin_calls_answer_for_what_was_loaded(analytics: Analytics, kafka_bootstrap_servers: str) -> None:
    now = datetime.now(UTC)
    alerts = [
        velocity_alert("one", "firing", now - timedelta(minutes=9)),
        velocity_alert("one", "resolved", now - timedelta(minutes=4)),
        velocity_alert("two", "firing", now - timedelta(minutes=2), "key000100001"),
    ]
    await publish(kafka_bootstrap_servers, [*(event for story in stories(80) for event in story), *alerts])
    expected = await distinct_events(kafka_bootstrap_servers, TOPICS)
    with running_edge() as edge, running(analytics.asking(edge.url, SERVICE_TOKEN)):
        analytics.wait_until_ready()
        wanted = {topic: {"rows": number, "distinct_event_ids": number} for topic, number in expected.items()}
        until(lambda: analytics.counts() == wanted, "every event is a row")
        check_tokens(analytics)
        check_roles(analytics, edge)
        check_lag(analytics, expected)
        check_alerts(analytics)
        check_alerts_of_accounts(analytics, edge)
        check_refusals(analytics)
        check_health(analytics)
        rejected = [e for e in await events_of(kafka_bootstrap_servers, topics.REQUESTS) if e["type"] == "RequestRejected"]
        check_rejections(analytics, rejected[0])


def check_rejections(analytics: Analytics, rejected: dict[str, Any]) -> None:
    """Edge learns why a request was refused; of another account's, or without edge's token, it learns nothing."""

    def ask(account_id: str, request_id: str, token: str = EDGE_TOKEN) -> httpx.Response:
        url = f"{analytics.url}/internal/accounts/{account_id}/rejections/{request_id}"
        return httpx.get(url, headers={"authorization": f"Bearer {token}"})

    account_id, request_id = rejected["account_id"], rejected["request_id"]
    (found,) = ask(account_id, request_id).json()["data"]
    assert (found["code"], found["http_status"], found["key_id"]) == (
        rejected["data"]["code"],
        rejected["data"]["http_status"],
        rejected["data"]["key"]["key_id"],
    )
    assert ask("acc_another", request_id).json() == {"data": []}
    assert ask(account_id, str(uuid4())).json() == {"data": []}
    assert ask(account_id, request_id, "wrong").status_code == 401
    assert ask(account_id, request_id, ADMIN_TOKEN).status_code == 401
    assert ask(account_id, "no-uuid").status_code == 400


def check_tokens(analytics: Analytics) -> None:
    """Every admin call wants the admin token, and says so in the shape of all errors."""
    for path in ADMIN_PATHS:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "the-admin-token"}):
            refused = httpx.get(analytics.url + path, headers=headers)
            assert refused.status_code == 401, path
            assert set(refused.json()["error"]) == {"message", "type", "param", "code"}


def check_roles(analytics: Analytics, edge: EdgeOfUsers) -> None:
    """What shows the whole installation needs a role of it; edge away lets nobody in but the admin token."""
    watch, owner, nobody = edge.user("Grace", "on-call"), edge.user("Ada", "owner", "acc_1"), edge.user("Nobody", None)
    for path in ADMIN_PATHS:
        assert path == LIVE or analytics.get(path, token=watch).status_code == 200, path
        for token in [nobody] if path in {"/admin/alerts", LIVE} else [owner, nobody]:
            refused = analytics.get(path, token=token)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "role_not_allowed"), path
    edge.away = True
    unknown = edge.user("Late", "operator")
    away = analytics.get("/admin/lag", token=unknown)
    assert (away.status_code, away.json()["error"]["code"]) == (503, "identity_unavailable")
    assert analytics.get("/admin/lag").status_code == 200
    edge.away = False
    document = analytics.get("/admin/openapi.json", token=owner).json()
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    assert len(operations) >= len(ADMIN_PATHS)
    assert all(each["x-tollbook-permission"] and each["summary"] for each in operations)


def check_alerts_of_accounts(analytics: Analytics, edge: EdgeOfUsers) -> None:
    """A user sees the alerts of the own accounts, page by page; another account is one that does not exist."""
    every = analytics.get("/admin/alerts").json()["data"]
    account = every[0]["account_id"]
    mine = [alert for alert in every if alert["account_id"] == account]
    token, stranger = edge.user("Ada", "member", account), edge.user("Eve", "owner", "acc_elsewhere")
    assert analytics.get("/admin/alerts", token=token).json()["data"] == mine
    assert analytics.get("/admin/alerts", token=token, account_id=account).json()["data"] == mine
    assert analytics.get("/admin/alerts", token=stranger).json()["data"] == []
    refused = analytics.get("/admin/alerts", token=stranger, account_id=account)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "account_not_found")
    first = analytics.get("/admin/alerts", limit="1").json()
    second = analytics.get("/admin/alerts", limit="1", after=first["next_after"]).json()
    assert first["data"] + second["data"] == every
    assert second["next_after"] is None
    assert analytics.get("/admin/alerts", after="x").status_code == 400


def check_lag(analytics: Analytics, expected: dict[str, int]) -> None:
    """Nothing is left to load; every partition is listed; the events have a lag."""
    lag = analytics.get("/admin/lag").json()
    assert {partition["lag"] for partition in lag["partitions"]} == {0}
    assert len(lag["partitions"]) == sum(topics.topics()[topic].partitions for topic in TOPICS)
    ends = {topic: sum(p["end"] for p in lag["partitions"] if p["topic"] == topic) for topic in TOPICS}
    assert ends == expected
    assert lag["event_to_row_ms"]["count"] == sum(expected.values())
    assert lag["event_to_row_ms"]["p50"] <= lag["event_to_row_ms"]["p99"]


def check_alerts(analytics: Analytics) -> None:
    """An alert is one entry with its latest state; a range shows those that were open in it."""
    assert say(analytics, token=EDGE_TOKEN).status_code == 401
    say(analytics, of_key("key000000000", 400_000))
    say(analytics, of_key("key000000000", 0))
    open_ones = say(analytics, of_key("key000100001", 300_000)).json()["open"]
    assert [row["subject_id"] for row in open_ones] == ["key000100001"]
    two, one = analytics.get("/admin/alerts").json()["data"]
    assert [(alert["subject_id"], alert["state"], alert["resolved_at"] is None) for alert in (two, one)] == [
        ("key000100001", "firing", True),
        ("key000000000", "resolved", False),
    ]
    assert (one["observed"], one["latest"]) == (400_000, 0)
    assert one["message"] == "Key key000000000 used 400,000 tokens within a minute; its threshold is 200,000 tokens."

    def between(first: datetime, last: datetime) -> list[str]:
        span = {"from": first.isoformat(), "to": last.isoformat()}
        return [alert["alert_id"] for alert in analytics.get("/admin/alerts", **span).json()["data"]]

    fired, over, later = (datetime.fromisoformat(text) for text in (one["fired_at"], one["resolved_at"], two["fired_at"]))
    minute, instant = timedelta(minutes=1), timedelta(microseconds=1)
    assert between(fired - 2 * minute, fired) == []
    assert between(fired - minute, fired + instant) == [one["alert_id"]]
    assert between(over, over + instant) == [one["alert_id"]]
    assert between(over + instant, later + instant) == [two["alert_id"]]
    assert between(later + minute, later + 2 * minute) == [two["alert_id"]]


def check_refusals(analytics: Analytics) -> None:
    """A range that makes no sense is the caller's error, and the parameter is named."""
    for path, parameters, param in (
        ("/admin/dashboard/series", {"from": "yesterday"}, "from"),
        ("/admin/dashboard/series", {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "from"),
        ("/admin/dashboard/series", {"step": "0"}, "step"),
        ("/admin/dashboard/tables", {"from": "2020-01-02T00:00:00Z"}, "from"),
        ("/admin/alerts", {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "from"),
    ):
        refused = analytics.get(path, **parameters)
        assert refused.status_code == 400, (path, parameters)
        assert refused.json()["error"]["param"] == param
    assert analytics.get("/admin/nothing").status_code == 404
    assert analytics.get("/admin/nothing").json()["error"]["code"] == "not_found"


def check_health(analytics: Analytics) -> None:
    """Health and metrics need no token; the dashboard's page neither, as it holds no data."""
    assert httpx.get(f"{analytics.url}/healthz").status_code == 200
    metrics = httpx.get(f"{analytics.url}/metrics").text
    assert "tollbook_analytics_rows_total" in metrics
    assert "tollbook_analytics_loading 1.0" in metrics
    assert re.search(r"^tollbook_analytics_lag_seconds \d", metrics, re.MULTILINE)
    assert re.search(
        r'^tollbook_analytics_lag_records\{partition="\d+",topic="tollbook.ledger.v1"\} 0.0$', metrics, re.MULTILINE
    )
    page = httpx.get(f"{analytics.url}/dashboard")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("away", ["DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"])
def test_without_an_engine_it_runs_and_says_why_it_is_not_ready(analytics: Analytics, away: str) -> None:
    nowhere = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    analytics.environment[away] = nowhere[away]
    with running(analytics):

        def reason() -> str | None:
            try:
                answer = httpx.get(f"{analytics.url}/readyz")
            except httpx.TransportError:
                return None
            assert answer.status_code == 503
            return str(answer.json()["reason"])

        until(lambda: (reason() or "starting") != "starting", "the reason is said")
        assert {"DATABASE_URL": "Postgres", "KAFKA_BOOTSTRAP_SERVERS": "Kafka"}[away] in str(reason())
        assert httpx.get(f"{analytics.url}/healthz").status_code == 200
        assert analytics.get("/admin/lag").status_code == 503
        if away == "KAFKA_BOOTSTRAP_SERVERS":
            assert "Kafka does not answer" in analytics.get(LIVE).json()["error"]["message"]
        assert set(analytics.counts()) == set(TOPICS)
        assert analytics.stop() == 0
