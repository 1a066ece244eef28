"""Who may do what in settlement, what is written down of it, and what a repeated call is answered."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from services.settlement.migrate import migrate
from tests.edge_of_users import SERVICE_TOKEN, EdgeOfUsers, running_edge
from tests.integration.settlement.processes import PRICES, Service, running, until
from tests.logins import as_service

MINE, OTHER, LOGGED, PAGED = "acc_mine", "acc_other", "acc_logged", "acc_paged"


@pytest.fixture(scope="module")
def edge() -> Iterator[EdgeOfUsers]:
    """Edge, which knows users."""
    with running_edge() as running_one:
        yield running_one


@pytest.fixture(scope="module")
def api(
    module_database_url: str, kafka_bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory, edge: EdgeOfUsers
) -> Iterator[Service]:
    """The API, which asks that edge."""
    migrate(module_database_url)
    log = tmp_path_factory.mktemp("settlement") / "api.log"
    settings = {"TOLLBOOK_EDGE_URL": edge.url, "TOLLBOOK_SETTLEMENT_TOKEN": SERVICE_TOKEN}
    with running("services.settlement", log, module_database_url, kafka_bootstrap_servers, **settings) as service:
        for account in (MINE, OTHER, LOGGED, PAGED):
            service.top_up(account)
        yield service


def limit(account: str = MINE, amount: str = "5") -> dict[str, Any]:
    """The body of a limit of the account's credit."""
    return {"account_id": account, "kind": "bucket", "id": "credit", "currency": "USD", "window": "month", "limit": amount}


def code_of(reply: Any) -> tuple[int, str]:
    """Status and code of a refusal."""
    return reply.status_code, reply.json()["error"]["code"]


def entries(api: Service, **asked: Any) -> list[dict[str, Any]]:
    """What the audit log says, newest first."""
    found: list[dict[str, Any]] = api.call("GET", "/admin/audit-log", params=asked).json()["data"]
    return found


def test_an_owner_decides_in_the_own_account_and_is_its_author(api: Service, edge: EdgeOfUsers) -> None:
    token = edge.user("Ada", "owner", MINE)
    done = api.call("POST", "/admin/limits", token=token, json=limit() | {"author": "somebody else"})
    assert done.status_code == 200, done.text
    user = edge.users[token].user_id
    assert done.json()["changed_by"] == f"{user} (Ada)"
    [entry, *_] = entries(api, account_id=MINE, actor=user)
    assert (entry["action"], entry["entity_kind"], entry["entity_id"]) == ("limit.set", "bucket", "credit")
    assert (entry["actor_name"], entry["after"]["limit"], entry["client_ip"]) == ("Ada", "5.00", "127.0.0.1")


def test_another_account_is_one_that_does_not_exist(api: Service, edge: EdgeOfUsers) -> None:
    token = edge.user("Ada", "owner", MINE)
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/admin/limits", {"json": limit(OTHER)}),
        ("GET", f"/admin/accounts/{OTHER}/balances", {}),
        ("GET", "/admin/limits", {"params": {"account_id": OTHER}}),
        ("GET", "/admin/audit-log", {"params": {"account_id": OTHER}}),
    ]
    for method, path, sent in calls:
        assert code_of(api.call(method, path, token=token, **sent)) == (404, "account_not_found")
    topup = {"account_id": OTHER, "bucket": "credit", "amount": "1", "provider": "bank", "payment_id": "gift"}
    assert code_of(api.call("POST", "/admin/topups", token=token, json=topup)) == (404, "account_not_found")
    refused = api.call("POST", "/admin/topups", token=token, json=topup | {"account_id": MINE})
    assert code_of(refused) == (403, "role_not_allowed")
    assert "money.write" in refused.json()["error"]["message"]
    assert "operator" in refused.json()["error"]["message"]


def test_what_concerns_the_installation_needs_a_role_of_it(api: Service, edge: EdgeOfUsers) -> None:
    owner, watch = edge.user("Ada", "owner", MINE), edge.user("Grace", "on-call")
    for path in ("/admin/cases", "/admin/lag", "/admin/dead-letters", "/admin/ledger/checks"):
        assert code_of(api.call("GET", path, token=owner)) == (403, "role_not_allowed")
        assert api.call("GET", path, token=watch).status_code == 200
    assert code_of(api.call("POST", "/admin/price-books", token=watch, content=PRICES.read_bytes())) == (
        403,
        "role_not_allowed",
    )
    assert api.call("GET", f"/admin/accounts/{OTHER}/balances", token=watch).status_code == 200


def test_a_call_without_an_account_is_incomplete_for_who_has_one_and_refused_for_who_has_none(
    api: Service, edge: EdgeOfUsers
) -> None:
    nobody = edge.user("Nobody", None)
    body = {name: value for name, value in limit().items() if name != "account_id"}
    assert code_of(api.call("POST", "/admin/limits", token=nobody, json=body)) == (403, "role_not_allowed")
    owner = edge.user("Ada", "owner", MINE)
    for sent in ({"json": body}, {"json": body | {"account_id": [MINE]}}, {"json": [limit()]}, {"content": b"\xff"}):
        assert api.call("POST", "/admin/limits", token=owner, **sent).status_code in {400, 422}


def test_the_log_is_narrowed_to_the_accounts_of_the_reader(api: Service, edge: EdgeOfUsers) -> None:
    for account in (MINE, OTHER):
        api.call("POST", "/admin/limits", json=limit(account)).raise_for_status()
    seen = api.call("GET", "/admin/audit-log", token=edge.user("Ada", "owner", MINE)).json()["data"]
    assert {entry["account_id"] for entry in seen} == {MINE}
    assert {MINE, OTHER} <= {entry["account_id"] for entry in entries(api)}
    assert code_of(api.call("GET", "/admin/audit-log", token=edge.user("Bob", "billing", MINE))) == (403, "role_not_allowed")


def test_tokens_that_are_worth_nothing_open_nothing_and_bodies_are_not_read_for_them(api: Service, edge: EdgeOfUsers) -> None:
    gone = edge.user("Ada", "operator")
    edge.users[gone] = edge.users[gone].model_copy(update={"active": False})
    for token in (gone, f"tbu-{'x' * 12}-{'y' * 49}", "token-of-the-asking-service", "edge", "router", "sk-tb-" + "a" * 62):
        for path in ("/admin/cases", "/admin/openapi.json", "/admin/nothing", "/admin"):
            assert code_of(api.call("GET", path, token=token)) == (401, "unauthorized")
        assert code_of(api.call("POST", "/admin/topups", token=token, content=b"{")) == (401, "unauthorized")


def test_without_edge_the_admin_token_works_and_no_other(api: Service, edge: EdgeOfUsers) -> None:
    token = edge.user("Grace", "operator")
    edge.away = True
    try:
        assert code_of(api.call("GET", "/admin/cases", token=token)) == (503, "identity_unavailable")
        assert api.call("GET", "/admin/cases").status_code == 200
    finally:
        edge.away = False
    assert api.call("GET", "/admin/cases", token=token).status_code == 200


def test_a_role_that_is_taken_counts_no_longer_within_a_second(api: Service, edge: EdgeOfUsers) -> None:
    token = edge.user("Grace", "on-call")
    assert api.call("GET", "/admin/cases", token=token).status_code == 200
    edge.users[token] = edge.users[token].model_copy(update={"grants": []})
    until(lambda: api.call("GET", "/admin/cases", token=token).status_code == 403, timeout_s=20)


def test_a_change_stands_in_the_log_with_what_was_before(api: Service) -> None:
    account = LOGGED
    for amount in ("5", "6"):
        api.call("POST", "/admin/limits", json=limit(account, amount) | {"author": "grace"}).raise_for_status()
    second, first, paid = entries(api, account_id=account)
    assert (first["before"], first["after"]["limit"], first["after"]["changed_by"]) == (None, "5.00", "grace")
    assert (second["before"]["limit"], second["after"]["limit"]) == ("5.00", "6.00")
    assert (second["actor"], second["actor_name"], paid["actor_name"]) == ("root", "grace", "admin")
    assert (paid["action"], paid["before"], paid["after"]["amount"]) == ("topup.post", {"balance_nano": 0}, "10.00")
    assert len({entry["request_id"] for entry in (second, first, paid)}) == 3


def test_what_changes_nothing_is_not_written_down(api: Service) -> None:
    account = f"acc_{uuid4().hex[:8]}"
    for _ in range(3):
        api.top_up(account)
    refused = api.call("POST", "/admin/adjustments", json=adjustment(account, "-99", "k"))
    assert refused.status_code == 409, refused.text
    assert [entry["action"] for entry in entries(api, account_id=account)] == ["topup.post"]


def adjustment(account: str, amount: str, key: str) -> dict[str, Any]:
    """The body of an adjustment."""
    return {"account_id": account, "bucket": "credit", "amount": amount, "reason": "because", "key": f"{account}-{key}"}


def test_the_log_is_read_page_by_page(api: Service, edge: EdgeOfUsers) -> None:
    account = f"acc_{uuid4().hex[:8]}"
    edge.accounts.add(account)
    for number in range(5):
        reply = api.call("POST", "/admin/adjustments", json=adjustment(account, "1", str(number)))
        assert reply.status_code == 201, reply.text
    after, found = None, []
    while True:
        asked = {"account_id": account, "limit": 2} | ({"after": after} if after else {})
        page = api.call("GET", "/admin/audit-log", params=asked).json()
        found += [entry["entity_id"] for entry in page["data"]]
        after = page["next_after"]
        if after is None:
            break
    assert found == [f"{account}-{number}" for number in reversed(range(5))]
    instant = entries(api, account_id=account, limit=1)[0]["at"]
    assert len(entries(api, account_id=account, until=instant)) == 4
    assert len(entries(api, account_id=account, since=instant)) == 1


def test_the_log_cannot_be_changed_by_the_service(api: Service, module_database_url: str) -> None:
    with psycopg.connect(as_service(module_database_url, "settlement"), autocommit=True) as connection:
        for statement in ("update settlement.audit_entry set actor = 'x'", "delete from settlement.audit_entry"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_a_repeated_call_is_answered_as_before_and_changes_nothing(api: Service, edge: EdgeOfUsers) -> None:
    key = {"idempotency-key": uuid4().hex}

    def post(token: str, body: dict[str, Any]) -> Any:
        headers = {"authorization": f"Bearer {token}", **key}
        return api.client.post("/admin/limits", json=body, headers=headers)

    first, again = post("admin", limit(amount="7")), post("admin", limit(amount="7"))
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.content == again.content
    assert code_of(post("admin", limit(amount="8"))) == (409, "idempotency_conflict")
    assert post(edge.user("Ada", "owner", MINE), limit(amount="8")).json()["version"] == first.json()["version"] + 1


def test_lists_of_limits_have_pages(api: Service) -> None:
    account = PAGED
    for window in ("day", "month", "total"):
        api.call("POST", "/admin/limits", json=limit(account) | {"window": window}).raise_for_status()
    asked: dict[str, Any] = {"account_id": account, "limit": 2}
    first = api.call("GET", "/admin/limits", params=asked).json()
    last = api.call("GET", "/admin/limits", params=asked | {"after": first["next_after"]}).json()
    assert last["next_after"] is None
    found = [row["window"] for row in first["data"] + last["data"]]
    assert found == ["day", "month", "total"]


def test_every_admin_operation_says_what_it_needs(api: Service, edge: EdgeOfUsers) -> None:
    document = api.call("GET", "/admin/openapi.json", token=edge.user("Bob", "member", MINE)).json()
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    assert len(operations) >= 28
    for each in operations:
        assert each["x-tollbook-permission"]
        assert each["summary"]
        assert {"401", "403", "503"} <= set(each["responses"])
