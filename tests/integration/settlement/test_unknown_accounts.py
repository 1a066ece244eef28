"""Money comes into accounts that edge has made, and into no others: a typo makes no wallet that nobody can use."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from schemas.envelope import new_id, now
from tests.edge_of_users import SERVICE_TOKEN, EdgeOfUsers, running_edge
from tests.integration.settlement.ledger import Ledger, running_ledger
from tests.integration.settlement.processes import Service, running


@pytest.fixture(scope="module")
def edge() -> Iterator[EdgeOfUsers]:
    """Edge, which knows accounts."""
    with running_edge() as running_one:
        yield running_one


@pytest.fixture(scope="module")
def books(module_database_url: str) -> Iterator[Ledger]:
    """The ledger itself, into which an earlier release let anything."""
    with running_ledger(module_database_url) as ledger:
        yield ledger


@pytest.fixture(scope="module")
def api(
    books: Ledger, edge: EdgeOfUsers, kafka_bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """The API, which asks that edge."""
    log = tmp_path_factory.mktemp("settlement") / "api.log"
    told = {"TOLLBOOK_EDGE_URL": edge.url, "TOLLBOOK_SETTLEMENT_TOKEN": SERVICE_TOKEN}
    with running("services.settlement", log, books.owner_url, kafka_bootstrap_servers, **told) as service:
        yield service


@contextmanager
def away(edge: EdgeOfUsers) -> Iterator[None]:
    """Edge answers nothing of use until the block ends."""
    edge.away = True
    try:
        yield
    finally:
        edge.away = False


def account() -> str:
    """A name that nobody has used."""
    return f"acc_{uuid4().hex[:16]}"


def pay(api: Service, holder: str, payment_id: str = "") -> httpx.Response:
    """A payment."""
    paid = {"account_id": holder, "bucket": "credit", "amount": "5", "provider": "bank", "payment_id": payment_id or holder}
    return api.call("POST", "/admin/topups", json=paid)


def give(api: Service, path: str, holder: str, **fields: Any) -> httpx.Response:
    """Another call that moves the account's money."""
    body = {"account_id": holder, "reason": "a test", "author": "mara", "key": uuid4().hex, **fields}
    return api.call("POST", f"/admin/{path}", json=body)


def code_of(reply: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    return reply.status_code, reply.json()["error"]["code"]


def test_nothing_is_given_to_an_account_that_there_is_not(api: Service, books: Ledger) -> None:
    holder = account()
    credit = {"bucket": "credit", "amount": "5"}
    for refused in (
        pay(api, holder),
        give(api, "adjustments", holder, **credit),
        give(api, "promotions", holder, **credit, expires_at=(now() + timedelta(days=1)).isoformat()),
    ):
        assert code_of(refused) == (404, "account_not_found")
        error = refused.json()["error"]
        assert error["param"] == "account_id"
        for said in (repr(holder), "tollbook accounts list", "tollbook accounts create"):
            assert said in error["message"]
    assert give(api, "refunds", holder, request_id=str(new_id())).status_code == 404
    assert books.rows("select from bucket_balance where holder = %s", holder) == []


def test_what_edge_has_made_is_paid_into_before_it_is_announced(api: Service, edge: EdgeOfUsers) -> None:
    holder = account()
    assert pay(api, holder).status_code == 404
    edge.accounts.add(holder)
    assert pay(api, holder).status_code == 201
    assert api.balance(holder) == (5 * 10**9, 0)


def test_what_was_announced_or_asked_once_is_paid_into_without_edge(api: Service, edge: EdgeOfUsers) -> None:
    asked, told = account(), account()
    edge.accounts.add(asked)
    pay(api, asked).raise_for_status()
    api.announce(told)
    with away(edge):
        assert pay(api, told).status_code == 201
        assert pay(api, asked, f"{asked}-2").status_code == 201


def test_a_payment_that_nobody_can_tell_about_is_neither_refused_for_good_nor_posted(api: Service, edge: EdgeOfUsers) -> None:
    holder = account()
    edge.accounts.add(holder)
    with away(edge):
        unsure = pay(api, holder)
        assert code_of(unsure) == (503, "account_unconfirmed")
        assert unsure.headers["retry-after"]
    assert pay(api, holder).status_code == 201, "the same payment, asked again"
    assert api.balance(holder) == (5 * 10**9, 0)


def test_what_was_posted_before_keeps_its_answer_and_can_be_taken_back(api: Service, books: Ledger) -> None:
    """The wallet of a typo, from a release that let it be made."""
    typo = account()
    posted = books.top_up(typo, "credit", "5", typo)
    again = pay(api, typo)
    assert (again.status_code, again.json()["txn_id"]) == (200, posted["txn_id"])
    assert code_of(pay(api, typo, f"{typo}-2")) == (404, "account_not_found")
    back = give(api, "adjustments", typo, bucket="credit", amount="-5")
    assert back.status_code == 201, back.text
    assert books.balance(typo) == (0, 0)
    books.assert_sound()


def test_a_limit_for_an_account_that_there_is_not_is_refused_at_edges_word(api: Service) -> None:
    holder = account()
    body = {"account_id": holder, "kind": "account", "id": holder, "currency": "USD", "window": "day", "limit": "5"}
    assert code_of(api.call("POST", "/admin/limits", json=body)) == (404, "account_not_found")
