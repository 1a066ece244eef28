"""Models, receipts and balances, and the edges of the address space."""

import httpx
import pytest

from tests.integration.edge.peers import SIGNED_FILE, Peers
from tests.integration.edge.processes import EdgeProcess, Key

REQUEST_ID = "019a1f3c-5b7e-7c41-9d52-3f0b8e6a1c27"


def get(edge: EdgeProcess, key: Key, path: str, **headers: str) -> httpx.Response:
    """A client's GET."""
    return edge.client.get(path, headers=key.headers | headers)


@pytest.fixture
def receipt(key: Key, peers: Peers) -> dict[str, object]:
    """A receipt of the key's account."""
    made: dict[str, object] = {"object": "receipt", "request_id": REQUEST_ID, "status": "settled", "key_id": key.key_id}
    peers.receipts[key.account_id, REQUEST_ID] = made
    return made


def test_models_come_in_openais_shape_with_prices(edge: EdgeProcess, key: Key) -> None:
    reply = get(edge, key, "/v1/models").json()
    assert reply["object"] == "list"
    assert [model["id"] for model in reply["data"]] == ["gpt-4o", "org/tiny"]
    assert reply["data"][0]["pricing"]["direct"]["output"] == "10.00"


def test_models_are_those_of_the_key(edge: EdgeProcess) -> None:
    bound = edge.new_key(policy={"models": ["org/tiny"]})
    assert [model["id"] for model in get(edge, bound, "/v1/models").json()["data"]] == ["org/tiny"]
    assert get(edge, bound, "/v1/models/gpt-4o").status_code == 404


def test_one_model_is_found_under_its_id_slashes_included(edge: EdgeProcess, key: Key) -> None:
    assert get(edge, key, "/v1/models/org/tiny").json()["id"] == "org/tiny"
    missing = get(edge, key, "/v1/models/none")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


def test_a_receipt_is_given_to_its_own_account_only(edge: EdgeProcess, key: Key, receipt: dict[str, object]) -> None:
    assert get(edge, key, f"/v1/requests/{REQUEST_ID}").json() == receipt
    reply = get(edge, edge.new_key(), f"/v1/requests/{REQUEST_ID}")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "receipt_not_found")


@pytest.mark.usefixtures("receipt")
def test_a_receipt_comes_as_text_on_request(edge: EdgeProcess, key: Key) -> None:
    by_query = get(edge, key, f"/v1/requests/{REQUEST_ID}?format=text")
    by_header = get(edge, key, f"/v1/requests/{REQUEST_ID}", accept="text/plain")
    assert by_query.headers["content-type"] == by_header.headers["content-type"] == "text/plain; charset=utf-8"
    assert by_query.text == by_header.text
    assert f"RECEIPT  {REQUEST_ID}   SETTLED" in by_query.text


@pytest.mark.usefixtures("receipt")
def test_a_signed_receipt_passes_byte_by_byte(edge: EdgeProcess, key: Key) -> None:
    reply = get(edge, key, f"/v1/requests/{REQUEST_ID}?signed=true")
    assert (reply.status_code, reply.content, reply.headers["content-type"]) == (200, SIGNED_FILE, "application/json")
    theirs = get(edge, edge.new_key(), f"/v1/requests/{REQUEST_ID}?signed=true")
    assert (theirs.status_code, theirs.json()["error"]["code"]) == (404, "receipt_not_found")


def test_the_keys_that_receipts_are_checked_with_are_told_to_everybody(edge: EdgeProcess) -> None:
    reply = edge.client.get("/v1/signing-keys")
    assert reply.json() == {"object": "list", "data": [{"key_id": "0a0b0c0d", "status": "current"}]}


@pytest.mark.parametrize("request_id", ["x", "..%2F..%2Fbalances", "x" * 65, "%00"])
def test_an_id_of_another_form_is_not_found(edge: EdgeProcess, key: Key, request_id: str) -> None:
    assert get(edge, key, f"/v1/requests/{request_id}").status_code == 404


def test_balances_come_as_texts_and_as_integers(edge: EdgeProcess, key: Key) -> None:
    (balance,) = get(edge, key, "/v1/balances").json()["data"]
    assert (balance["bucket"], balance["currency"]) == ("credit", "USD")
    assert (balance["posted"], balance["held"], balance["available"]) == ("25.00", "0.50", "24.50")
    assert balance["available_nano"] == 24_500_000_000
    assert (balance["earmarked"], balance["earmarked_nano"], balance["funding"]) == ("5.00", 5_000_000_000, "prepaid")
    assert (balance["promotional"], balance["promotional_nano"]) == ("1.50", 1_500_000_000)
    assert (balance["owed"], balance["owed_nano"]) == ("0.25", 250_000_000)
    assert [(each["amount"], each["expires_at"]) for each in balance["promotions"]] == [("1.50", "2026-06-30T00:00:00Z")]


def test_topups_are_those_of_the_keys_account(edge: EdgeProcess, key: Key) -> None:
    reply = get(edge, key, "/v1/topups?limit=5&account_id=another")
    assert reply.json() == {"object": "list", "data": [{"limit": "5", "account_id": key.account_id}], "next_after": None}


def test_a_statement_passes_as_settlement_wrote_it(edge: EdgeProcess, key: Key) -> None:
    reply = get(edge, key, "/v1/statements/2026-03?format=csv&bucket=credit&account_id=another")
    assert (reply.status_code, reply.text) == (200, f"{key.account_id};format=csv&bucket=credit")
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert reply.headers["content-disposition"] == 'attachment; filename="s.csv"'
    refused = get(edge, key, "/v1/statements/2026-13")
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_month")


@pytest.mark.parametrize(
    "path",
    ["/v1/topups", "/v1/statements/2026-03", "/v1/models", "/v1/models/gpt-4o", f"/v1/requests/{REQUEST_ID}", "/v1/balances"],
)
def test_without_a_key_nothing_is_told(edge: EdgeProcess, path: str) -> None:
    reply = edge.client.get(path)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "unknown_url"),
        ("POST", "/v1/nothing", 404, "unknown_url"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("DELETE", "/v1/balances", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("GET", "/v1/models/", 404, "model_not_found"),
    ],
)
def test_other_paths_and_methods_are_answered_in_the_shape(
    *, edge: EdgeProcess, key: Key, method: str, path: str, status: int, code: str
) -> None:
    reply = edge.client.request(method, path, headers=key.headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)


def test_health_and_metrics_need_no_token(edge: EdgeProcess, key: Key) -> None:
    edge.chat(key)
    assert edge.client.get("/healthz").status_code == 200
    assert edge.client.get("/readyz").json() == {"ready": True}
    page = edge.client.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    assert 'tollbook_edge_requests_total{api="chat.completions",status="200"}' in page.text


def test_no_log_line_and_no_metric_holds_a_secret_or_a_clients_words(edge: EdgeProcess, key: Key) -> None:
    words = "wordsthatmustnotbelogged"
    edge.chat(key, {"model": "unknown", "messages": [{"role": "user", "content": words}]})
    edge.chat(key, f'{{"model": "{words}'.encode())
    seen = edge.log.read_text("utf-8") + edge.client.get("/metrics").text
    assert words not in seen
    assert key.api_key not in seen
