"""Refunds, adjustments, promotions and chargebacks over HTTP, and the worker that lets credit expire."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from schemas import topics
from schemas.envelope import now
from schemas.registry import decode
from services.settlement.migrate import migrate
from tests.announced import new_accounts
from tests.integration.settlement.processes import Service, complete, contents, running, until
from tests.integration.settlement.requests_made import completion, hold_for

SAID = {"reason": "a test", "author": "mara"}


@pytest.fixture(scope="module")
def both(
    module_database_url: str, kafka_bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, str]]:
    """The API with a worker beside it, and Kafka's address."""
    migrate(module_database_url)
    logs = tmp_path_factory.mktemp("settlement")
    fast = {"TOLLBOOK_CREDIT_INTERVAL_SECONDS": "0.2"}
    with (
        running("services.settlement", logs / "api.log", module_database_url, kafka_bootstrap_servers) as api,
        running("services.settlement.worker", logs / "worker.log", module_database_url, kafka_bootstrap_servers, **fast),
    ):
        yield api, kafka_bootstrap_servers


@pytest.fixture(scope="module")
def accounts(both: tuple[Service, str]) -> Iterator[str]:
    """Accounts that edge has announced."""
    api, kafka = both
    return iter(new_accounts(kafka, str(api.client.base_url), 100))


@pytest.fixture
def account(accounts: Iterator[str]) -> str:
    """An account of its own."""
    return next(accounts)


def post(api: Service, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
    """An admin call with a reason and an author."""
    reply = api.call("POST", f"/admin/{path}", json=SAID | body)
    return reply.status_code, reply.json()


def test_a_charge_is_refunded_once(both: tuple[Service, str], account: str) -> None:
    api, kafka = both
    api.top_up(account)
    request = hold_for(account)
    api.hold(request)
    complete(kafka, [completion(request)])
    until(lambda: api.balance(account) == (10_000_000_000 - 1_375_000, 0))
    body = {"account_id": account, "request_id": str(request.request_id), "key": f"k-{account}"}
    status, answer = post(api, "refunds", **body)
    assert (status, answer["amount"], answer["charged_nano"]) == (201, "0.001375", 1_375_000)
    assert post(api, "refunds", **body) == (200, answer)
    status, refused = post(api, "refunds", **body, amount="0.001")
    assert (status, refused["error"]["code"]) == (409, "idempotency_conflict")
    assert 'tollbook_settlement_idempotency_conflicts_total{kind="refund"} 1.0' in api.client.get("/metrics").text
    assert api.balance(account) == (10_000_000_000, 0)
    receipt = api.call("GET", f"/internal/accounts/{account}/receipts/{request.request_id}", token="edge").json()
    assert [refund["reason"] for refund in receipt["refunds"]] == ["a test"]


def test_credit_expires_by_itself_and_its_events_are_published(both: tuple[Service, str], account: str) -> None:
    api, kafka = both
    api.top_up(account)
    credit = {"account_id": account, "bucket": "credit"}
    tomorrow = (now() + timedelta(days=1)).isoformat()
    status, kept = post(api, "promotions", **credit, amount="5", expires_at=tomorrow, key=f"{account}-kept")
    assert status == 201
    promoted = (15_000_000_000, 5_000_000_000, [kept["promotion_id"]])
    assert promotional(api, account) == promoted
    short: list[dict[str, Any]] = []

    def given() -> bool:
        """Whether it was taken; it is refused where the machine stood still until its end had passed."""
        soon = (now() + timedelta(seconds=1.5)).isoformat()
        status, answer = post(api, "promotions", **credit, amount="3", expires_at=soon, key=account)
        short.append(answer)
        return status == 201

    until(given)
    until(lambda: api.balance(account) == (15_000_000_000, 0))
    assert promotional(api, account) == promoted

    def told() -> dict[str, dict[str, Any]]:
        events = [event for event in contents(kafka, topics.LEDGER) if event["account_id"] == account]
        return {event["type"]: event for event in events}

    until(lambda: "CreditExpired" in told())
    assert told()["CreditExpired"]["data"]["promotion_id"] == short[-1]["promotion_id"]


def promotional(api: Service, account: str) -> tuple[int, int, list[str]]:
    """Everything in the bucket, the promotional part of it, and the promotions that are left."""
    (row,) = api.call("GET", f"/admin/accounts/{account}/balances").json()["data"]
    return row["posted_nano"], row["promotional_nano"], [each["promotion_id"] for each in row["promotions"]]


def test_adjustments_and_chargebacks_are_published_as_their_schemas_say(both: tuple[Service, str], account: str) -> None:
    api, kafka = both
    api.top_up(account)
    assert post(api, "adjustments", account_id=account, bucket="credit", amount="-2.5", key=account)[0] == 201
    payment = {"provider": "bank", "payment_id": f"{account}-credit", "dispute_id": f"d-{account}"}
    status, answer = post(api, "chargebacks", **payment)
    assert (status, answer["amount"], answer["owed_nano"]) == (201, "10.00", 2_500_000_000)
    cases = api.call("GET", "/admin/cases?open=true").json()["data"]
    assert answer["case_id"] in [case["id"] for case in cases]
    status, again = post(api, "reinstatements", provider="bank", dispute_id=f"d-{account}")
    assert (status, again["repaid_nano"], again["balance"]["after_nano"]) == (201, 2_500_000_000, 7_500_000_000)
    wanted = {"Adjusted", "ChargedBack", "CaseOpened", "ChargebackReinstated"}

    def told() -> set[str]:
        return {event["type"] for event in contents(kafka, topics.LEDGER) if event["account_id"] == account}

    until(lambda: wanted <= told())
    import orjson

    for event in contents(kafka, topics.LEDGER):
        assert decode(topics.LEDGER, event["type"], orjson.dumps(event)).account_id == event["account_id"]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("refunds", {"account_id": "a", "request_id": "x", "key": "k"}, 422, "invalid_request"),
        ("refunds", {"account_id": "a", "request_id": str(uuid4()), "key": "k"}, 404, "request_not_found"),
        ("refunds", {"account_id": "a", "request_id": str(uuid4()), "key": "k", "amount": "-1"}, 422, "invalid_request"),
        ("refunds", {"account_id": "a", "request_id": str(uuid4()), "key": "k", "amount": "0"}, 422, "invalid_amount"),
        ("adjustments", {"account_id": "a", "bucket": "credit", "amount": "1e-10", "key": "k"}, 422, "invalid_request"),
        ("adjustments", {"account_id": "a", "bucket": "credit", "amount": "--1", "key": "k"}, 422, "invalid_request"),
        ("adjustments", {"account_id": "a", "bucket": "credit", "amount": "NaN", "key": "k"}, 422, "invalid_request"),
        ("adjustments", {"account_id": "a", "bucket": "gold", "amount": "1", "key": "k"}, 422, "unknown_bucket"),
        ("adjustments", {"account_id": "a", "bucket": "credit", "amount": "-1", "key": "k9"}, 409, "insufficient_balance"),
        ("adjustments", {"account_id": "a", "bucket": "credit", "amount": "1"}, 422, "invalid_request"),
        ("adjustments", {"account_id": "a", "bucket": "credit", "amount": "1", "key": "a\x00b"}, 422, "invalid_request"),
        (
            "promotions",
            {"account_id": "a", "bucket": "credit", "amount": "1", "key": "k", "expires_at": "2020-01-01T00:00:00Z"},
            422,
            "invalid_expiry",
        ),
        (
            "promotions",
            {"account_id": "a", "bucket": "credit", "amount": "1", "key": "k", "expires_at": "2090-01-01T00:00:00"},
            422,
            "invalid_request",
        ),
        ("chargebacks", {"provider": "p", "payment_id": "x", "dispute_id": "d"}, 404, "payment_not_found"),
        ("reinstatements", {"provider": "p", "dispute_id": "d"}, 404, "dispute_not_found"),
    ],
)
def test_what_cannot_be_posted_is_refused_with_a_reason(
    both: tuple[Service, str], path: str, body: dict[str, Any], status: int, code: str
) -> None:
    both[0].announce("a")
    found, reply = post(both[0], path, **body)
    assert (found, reply["error"]["code"]) == (status, code), reply
    assert reply["error"]["message"]


@pytest.mark.parametrize("path", ["refunds", "adjustments", "promotions", "chargebacks", "reinstatements"])
def test_only_the_admin_token_moves_money(both: tuple[Service, str], path: str) -> None:
    for token in ("edge", "router", "none"):
        assert both[0].call("POST", f"/admin/{path}", token=token, json={}).status_code == 401


def test_a_statement_comes_in_every_format(both: tuple[Service, str], account: str) -> None:
    api, _ = both
    api.top_up(account)
    month = f"{now():%Y-%m}"
    for path, token in ((f"/admin/accounts/{account}", "admin"), (f"/internal/accounts/{account}", "edge")):
        found = api.call("GET", f"{path}/statements/{month}", token=token).json()
        assert [(each["opening"], each["closing"]) for each in found["buckets"]] == [("0.00", "10.00")]
        sheet = api.call("GET", f"{path}/statements/{month}?format=csv&bucket=credit", token=token)
        assert sheet.headers["content-type"] == "text/csv; charset=utf-8"
        assert sheet.text.count("\r\n") == 4
        paper = api.call("GET", f"{path}/statements/{month}?format=pdf", token=token)
        assert (paper.headers["content-type"], paper.content[:5]) == ("application/pdf", b"%PDF-")
        for query, status, code in (("?format=xls", 422, "invalid_format"), ("?bucket=gold", 404, "bucket_not_found")):
            refused = api.call("GET", f"{path}/statements/{month}{query}", token=token)
            assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
        assert api.call("GET", f"{path}/statements/{month}", token="router-no").status_code == 401
        page = api.call("GET", f"{path}/topups?limit=1", token=token).json()
        assert [(row["amount"], row["payment_id"]) for row in page["data"]] == [("10.00", f"{account}-credit")]
        assert page["next_after"] is None
        assert api.call("GET", f"{path}/topups?after=x", token=token).status_code == 422
