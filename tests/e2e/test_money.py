"""Money in and out through the front door: a payment by Stripe, the statement and the history that show it."""

import csv
import io
import time
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pypdf
import pytest
from stripe import WebhookSignature

from tests.e2e.conftest import SETTINGS

pytestmark = pytest.mark.stack


def customer(described: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """A new account, and the header of its key."""
    admin = {"authorization": f"Bearer {described['admin_token']}"}
    with httpx.Client(base_url=described["edge_url"], headers=admin, timeout=60) as client:
        account = client.post("/admin/accounts", json={"name": "Ærø 客户"}).raise_for_status().json()["account_id"]
        project = client.post("/admin/projects", json={"account_id": account, "name": "one"}).raise_for_status().json()
        body = {"project_id": project["project_id"], "name": "statement"}
        key = client.post("/admin/keys", json=body).raise_for_status().json()["api_key"]
    return account, {"authorization": f"Bearer {key}"}


def paid(described: dict[str, Any], account: str, payment: str) -> httpx.Response:
    """Stripe's word that a payment has arrived."""
    content = {
        "id": payment,
        "amount_received": 1_250,
        "currency": "usd",
        "metadata": {"account_id": account, "bucket": "credit"},
    }
    body = orjson.dumps({"id": f"evt_{uuid4().hex}", "type": "payment_intent.succeeded", "data": {"object": content}})
    secret = SETTINGS["TOLLBOOK_STRIPE_WEBHOOK_SECRET"]
    header = WebhookSignature.generate_signature_header(body.decode(), secret)
    url = f"{described['edge_url']}/webhooks/stripe"
    return httpx.post(url, content=body, headers={"stripe-signature": header, "content-type": "application/json"}, timeout=60)


def test_a_payment_is_on_the_balance_the_history_and_the_statement(described: dict[str, Any]) -> None:
    account, key = customer(described)
    payment = f"pi_{uuid4().hex}"
    assert [paid(described, account, payment).json()["outcome"] for _ in range(2)] == ["posted", "repeated"]
    month = time.strftime("%Y-%m", time.gmtime())
    with httpx.Client(base_url=described["edge_url"], headers=key, timeout=60) as client:
        (balance,) = client.get("/v1/balances").json()["data"]
        assert (balance["bucket"], balance["posted"]) == ("credit", "12.50")
        assert [row["payment_id"] for row in client.get("/v1/topups").json()["data"]] == [payment]
        sheet = client.get(f"/v1/statements/{month}?format=csv")
        *moved, closing = (Decimal(row["amount"]) for row in csv.DictReader(io.StringIO(sheet.text)))
        assert sum(moved) == closing == Decimal("12.50")
        paper = client.get(f"/v1/statements/{month}?format=pdf&bucket=credit")
        assert "12.50" in pypdf.PdfReader(io.BytesIO(paper.content)).pages[0].extract_text()
        assert client.get(f"/v1/statements/{month}?bucket=gold").status_code == 404
