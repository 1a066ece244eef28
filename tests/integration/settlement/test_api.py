"""The API process as its callers see it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from schemas import topics
from schemas.control import ControlRecord
from schemas.envelope import new_id
from schemas.release import release
from services.settlement.migrate import migrate
from tests.announced import announce, new_accounts, records
from tests.integration.settlement.processes import PRICES, Service, contents, publish, running, until
from tests.integration.settlement.requests_made import hold_for


@pytest.fixture(scope="module")
def api(module_database_url: str, kafka_bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The API, with the catalog's price book, and no worker beside it."""
    migrate(module_database_url)
    log = tmp_path_factory.mktemp("settlement") / "api.log"
    bound = {"TOLLBOOK_INGRESS_MAX_ROWS": "3"}
    with running("services.settlement", log, module_database_url, kafka_bootstrap_servers, **bound) as service:
        yield service


@pytest.fixture(scope="module")
def accounts(kafka_bootstrap_servers: str, api: Service) -> Iterator[str]:
    """Accounts that edge has announced."""
    return iter(new_accounts(kafka_bootstrap_servers, str(api.client.base_url), 100))


@pytest.fixture
def account(accounts: Iterator[str]) -> str:
    """An account of its own."""
    return next(accounts)


def error_of(reply: Any) -> dict[str, Any]:
    """The error in a reply, which must have the one shape."""
    body: dict[str, Any] = reply.json()
    assert set(body) == {"error"}
    assert set(body["error"]) - {"problems"} == {"message", "type", "param", "code"}
    return dict(body["error"])


@pytest.mark.parametrize(
    ("method", "path", "wrong"),
    [
        ("POST", "/internal/holds", "edge"),
        ("POST", "/internal/holds", "admin"),
        ("POST", "/internal/holds/progress", "edge"),
        ("POST", "/internal/ingress", "admin"),
        ("GET", "/internal/accounts/a/balances", "admin"),
        ("GET", "/internal/price-book", "none"),
        ("POST", "/admin/topups", "router"),
        ("POST", "/admin/limits", "edge"),
        ("POST", "/admin/price-books", "none"),
        ("GET", "/admin/accounts/a/balances", "router"),
        ("GET", "/admin/lag", "edge"),
        ("GET", "/admin/cases", "nothing"),
    ],
)
def test_a_door_opens_to_its_own_token_only(api: Service, method: str, path: str, wrong: str) -> None:
    reply = api.call(method, path, token=wrong, content=b"{}" if method == "POST" else None)
    assert reply.status_code == 401
    assert error_of(reply)["code"] == "unauthorized"
    assert api.client.request(method, path).status_code == 401


@pytest.mark.parametrize(
    ("path", "token"), [("/internal/holds", "router"), ("/internal/holds/progress", "router"), ("/internal/ingress", "edge")]
)
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"holds":[],"events":[]}', 422),
        (b'{"holds":[{"hold_id":1}],"events":[{"topic":1}]}', 422),
        (b'{"a":"\\u0000"}', 422),
        (b" " * (5 << 20), 413),
    ],
)
def test_a_bad_body_is_refused_with_a_reason(api: Service, path: str, token: str, body: bytes, status: int) -> None:
    reply = api.call("POST", path, token=token, content=body)
    assert reply.status_code == status, reply.text
    assert error_of(reply)["message"]


def test_a_name_with_a_nul_is_refused(api: Service, account: str) -> None:
    body = hold_for(account, environment="a\x00b")
    reply = api.call("POST", "/internal/holds", token="router", content=b'{"holds":[' + body.to_json() + b"]}")
    assert reply.status_code == 422
    for path in ("/internal/accounts/a%00b/balances", f"/internal/accounts/a%00b/receipts/{new_id()}"):
        assert api.call("GET", path, token="edge").status_code == 422
    assert api.call("GET", "/admin/accounts/a%00b/balances").status_code == 422


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "0"},
        {"amount": "-1"},
        {"amount": "1e3x"},
        {"amount": "NaN"},
        {"amount": "0.0000000001"},
        {"amount": "99999999999"},
        {"amount": 5},
        {"bucket": "gold"},
        {"account_id": ""},
        {"payment_id": "x" * 129},
        {"provider": "a\x00"},
        {"surplus": 1},
    ],
)
def test_a_top_up_that_makes_no_sense_is_refused(api: Service, account: str, change: dict[str, Any]) -> None:
    body = {"account_id": account, "bucket": "credit", "amount": "5", "provider": "bank", "payment_id": account} | change
    reply = api.call("POST", "/admin/topups", json=body)
    assert reply.status_code == 422, reply.text
    error_of(reply)


def test_a_payment_is_added_once(api: Service, account: str) -> None:
    body = {"account_id": account, "bucket": "credit", "amount": "12.50", "provider": "bank", "payment_id": account}
    first = api.call("POST", "/admin/topups", json=body)
    again = api.call("POST", "/admin/topups", json={**body, "amount": "12.5"})
    other = api.call("POST", "/admin/topups", json={**body, "amount": "12.51"})
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert first.json() == again.json()
    assert error_of(other)["code"] == "idempotency_conflict"
    assert api.balance(account) == (12_500_000_000, 0)


def test_postings_prove_a_balance_page_by_page(api: Service, account: str) -> None:
    for number in range(5):
        body = {
            "account_id": account,
            "bucket": "credit",
            "amount": "1",
            "provider": "bank",
            "payment_id": f"{account}{number}",
        }
        api.call("POST", "/admin/topups", json=body).raise_for_status()
    path, rows, after = f"/admin/accounts/{account}/postings", [], 0
    while after is not None:
        page = api.call("GET", path, params={"bucket": "credit", "limit": 2, "after": after}).json()
        rows += page["data"]
        after = page["next"]
    assert [row["before_nano"] for row in rows] == [number * 10**9 for number in range(5)]
    for row in rows:
        mine = [line for line in row["lines"] if line["account"].startswith("customer/")]
        assert row["after_nano"] - row["before_nano"] == sum(line["amount_nano"] for line in mine)
    assert api.call("GET", path, params={"bucket": "gold"}).status_code == 404
    assert api.call("GET", path, params={"bucket": "credit", "limit": 0}).status_code == 422


def test_a_limit_is_set_shown_and_removed(api: Service, account: str, kafka_bootstrap_servers: str) -> None:
    asyncio.run(announce(kafka_bootstrap_servers, *records(account, key_id="key-1")))
    body = {"account_id": account, "kind": "key", "id": "key-1", "currency": "USD", "window": "day", "limit": "5.00"}
    assert api.call("POST", "/admin/limits", json=body).json()["version"] == 1
    assert api.call("POST", "/admin/limits", json={**body, "limit": None, "author": "ada"}).json()["limit"] is None
    shown = api.call("GET", "/admin/limits", params={"account_id": account}).json()["data"]
    assert shown[0]["changed_by"] == "ada"
    assert [(row["kind"], row["id"], row["limit_nano"], row["version"]) for row in shown] == [("key", "key-1", None, 2)]
    assert api.call("POST", "/admin/limits", json={**body, "kind": "account"}).status_code == 422
    assert api.call("POST", "/admin/limits", json={**body, "limit": "-1"}).status_code == 422
    assert api.call("POST", "/admin/limits", json={**body, "window": "week"}).status_code == 422


def test_what_does_not_exist_in_the_account_cannot_be_limited(api: Service, account: str, kafka_bootstrap_servers: str) -> None:
    theirs = f"{account}-other"
    told = records(account, project_id=f"{account}-p", key_id=f"{account}-k") + records(theirs, project_id=f"{theirs}-p")
    asyncio.run(announce(kafka_bootstrap_servers, *told))

    def limit(kind: str, entity: str, holder: str = account, amount: str | None = "5.00") -> Any:
        body = {"account_id": holder, "kind": kind, "id": entity, "currency": "USD", "window": "day", "limit": amount}
        return api.call("POST", "/admin/limits", json=body)

    for kind, entity in (("account", account), ("project", f"{account}-p"), ("key", f"{account}-k"), ("bucket", "credit")):
        assert limit(kind, entity).status_code == 200, kind
    foreign, unknown = limit("project", f"{theirs}-p"), limit("project", f"{account}-x")
    assert (foreign.status_code, error_of(foreign)["code"], error_of(foreign)["param"]) == (404, "project_not_found", "id")
    assert error_of(unknown)["message"] == error_of(foreign)["message"].replace(f"{theirs}-p", f"{account}-x")
    assert error_of(limit("key", f"{account}-p"))["code"] == "key_not_found"
    assert error_of(limit("account", "nobody", "nobody"))["code"] == "account_not_found"
    centre = {"account_id": "nobody", "bucket": "credit", "limit": "5"}
    assert error_of(api.call("POST", "/admin/cost-centres", json=centre))["code"] == "account_not_found"
    assert limit("project", f"{account}-x", amount=None).status_code == 200


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "mapping"),
        ("buckets: [", "line 1"),
        ("buckets: []\nprices: []", "buckets"),
        ("a: &x 1\nb: *x", "alias"),
        ("buckets: [{id: c, currency: USD, route_types: [direct]}]\nprices:\n  - {route_type: direct}", "line 3"),
        ("\x00", "NUL"),
    ],
)
def test_a_price_book_that_makes_no_sense_is_refused_with_its_line(api: Service, text: str, where: str) -> None:
    reply = api.call("POST", "/admin/price-books", content=text.encode())
    assert reply.status_code in {400, 422}
    assert where in error_of(reply)["message"]


def test_the_same_price_book_keeps_its_version_and_another_gets_the_next(api: Service) -> None:
    text = PRICES.read_text("utf-8")
    same = api.call("POST", "/admin/price-books", content=text.encode())
    assert (same.status_code, same.json()["version"], same.json()["new"]) == (200, 1, False)
    other = api.call("POST", "/admin/price-books", content=text.replace('output: "10"}', 'output: "10.5"}').encode())
    assert (other.status_code, other.json()["version"]) == (201, 2)
    back = api.call("POST", "/admin/price-books", content=text.encode())
    assert (back.status_code, back.json()["version"]) == (201, 3)
    assert api.call("GET", "/internal/price-book", token="edge").json()["version"] == 3


def test_a_receipt_is_shown_to_its_account_only(api: Service, account: str) -> None:
    api.top_up(account)
    request = hold_for(account)
    api.hold(request)
    mine = api.call("GET", f"/internal/accounts/{account}/receipts/{request.request_id}", token="edge")
    assert (mine.status_code, mine.json()["status"]) == (200, "pending")
    for path in (f"/internal/accounts/b/receipts/{request.request_id}", f"/internal/accounts/{account}/receipts/x"):
        reply = api.call("GET", path, token="edge")
        assert (reply.status_code, error_of(reply)["code"]) == (404, "receipt_not_found")


def test_progress_names_the_holds_that_are_not_open(api: Service, account: str) -> None:
    api.top_up(account)
    request, unknown = hold_for(account), new_id()
    api.hold(request)
    signs = [
        {"hold_id": str(each), "deadline_at": "2030-01-01T00:00:00Z", "input_tokens": 1, "output_tokens": 2}
        for each in (request.hold_id, unknown, unknown)
    ]
    reply = api.call("POST", "/internal/holds/progress", token="router", json={"holds": signs})
    assert (reply.status_code, reply.json()) == (200, {"closed": [str(unknown)]})


def test_a_freeze_on_the_control_topic_stops_holds(api: Service, account: str, kafka_bootstrap_servers: str) -> None:
    api.top_up(account)
    record = ControlRecord(kind="account", entity_id=account, version=1, frozen=True)
    publish(kafka_bootstrap_servers, topics.CONTROL, [("broken", "x", b"{"), (record.key, "x", record.to_json())])
    until(lambda: api.hold(hold_for(account))[0].get("code") == "account_frozen")


def test_lag_says_how_far_the_ledger_is(api: Service) -> None:
    found = api.call("GET", "/admin/lag").json()
    assert [row["partition"] for row in found["partitions"]] == [0, 1, 2, 3]
    assert found["outbox_pending"] > 0
    assert set(found) == {"partitions", "outbox_pending", "ingress_pending", "open_holds"}


def test_nothing_is_lost_of_a_path_that_does_not_exist(api: Service) -> None:
    assert error_of(api.call("GET", "/internal/nothing", token="edge"))["code"] == "not_found"
    assert error_of(api.call("GET", "/nothing"))["code"] == "not_found"
    assert api.call("GET", "/admin/topups").status_code == 405


def test_metrics_count_what_was_decided(api: Service, account: str) -> None:
    api.hold(hold_for(account))
    text = api.client.get("/metrics").text
    assert 'tollbook_settlement_holds_total{outcome="insufficient_balance"}' in text
    assert "tollbook_settlement_hold_batch_size_bucket" in text


def event(topic: str = topics.ATTEMPTS) -> dict[str, str]:
    """Something for the ingress table."""
    return {"topic": topic, "key": "a", "type": "RequestCompleted", "event_id": str(new_id()), "value": "{}"}


def test_holds_stop_while_too_much_waits_for_the_log(api: Service, account: str, module_database_url: str) -> None:
    api.top_up(account)
    events = [event() for _ in range(3)]
    for _ in range(2):
        assert api.call("POST", "/internal/ingress", token="edge", json={"events": events}).status_code == 202
    assert api.hold(hold_for(account))[0]["status"] == "held"
    api.call("POST", "/internal/ingress", token="router", json={"events": [event()]})
    batch = b'{"holds":[' + hold_for(account).to_json() + b"]}"
    reply = api.call("POST", "/internal/holds", token="router", content=batch)
    assert (reply.status_code, error_of(reply)["code"]) == (503, "log_unavailable")
    assert reply.headers["retry-after"]
    for _ in range(13):
        last = api.call("POST", "/internal/ingress", token="edge", json={"events": [event()]})
    assert last.status_code == 503
    with psycopg.connect(module_database_url, autocommit=True) as connection:
        assert connection.execute("delete from settlement.ingress").rowcount == 16
    until(lambda: api.call("POST", "/internal/holds", token="router", content=batch).status_code == 200)


def test_ingress_takes_events_for_the_logs_of_requests_only(api: Service) -> None:
    for topic in (topics.LEDGER, "elsewhere"):
        reply = api.call("POST", "/internal/ingress", token="edge", json={"events": [event(topic)]})
        assert (reply.status_code, error_of(reply)["param"]) == (422, "topic")


def test_the_api_ends_cleanly(module_database_url: str, kafka_bootstrap_servers: str, tmp_path: Path, api: Service) -> None:
    alive = api.client.get("/healthz").json()
    assert (alive["ok"], alive["version"], alive["contracts"]) == (True, *release().values())
    with running("services.settlement", tmp_path / "log", module_database_url, kafka_bootstrap_servers) as second:
        assert second.stop() == 0
    assert contents(kafka_bootstrap_servers, topics.LEDGER) == []


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"])
def test_instants_that_nothing_can_hold_are_refused(api: Service, instant: str) -> None:
    for path in ("attempts", "unknown-ends"):
        asked = {"since": instant, "until": "2026-01-01T00:00:00Z"}
        assert api.call("GET", f"/admin/{path}", params=asked).status_code == 422
    body = {"account_id": "a", "bucket": "credit", "amount": "1", "reason": "r", "author": "a", "key": "k"}
    reply = api.call("POST", "/admin/promotions", json=body | {"expires_at": instant})
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "invalid_expiry")
