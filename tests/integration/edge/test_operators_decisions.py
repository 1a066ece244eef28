"""What an operator decided, an owner does not undo; what an owner decided, an operator may."""

import pytest

from tests.integration.edge.people import Person, new_account, new_person
from tests.integration.edge.processes import EdgeProcess

RATES = ("requests_per_minute", "tokens_per_minute")


@pytest.fixture
def account_id(edge: EdgeProcess) -> str:
    """An account of the test's own."""
    return new_account(edge)


@pytest.fixture
def owner(edge: EdgeProcess, account_id: str) -> Person:
    """The account's only owner."""
    return new_person(edge, ("owner", account_id))


def test_whom_an_operator_deactivated_no_owner_activates(edge: EdgeProcess, owner: Person, account_id: str) -> None:
    member, operator = new_person(edge, ("member", account_id)), new_person(edge, ("operator", None))
    path = f"/users/{member.user_id}"
    assert owner.post(f"{path}/deactivate").json()["deactivated_by_operator"] is False
    assert operator.post(f"{path}/deactivate").json()["deactivated_by_operator"] is True
    assert owner.post(f"{path}/deactivate").json()["deactivated_by_operator"] is True
    assert owner.call("PATCH", path, {"name": "renamed"}).json()["deactivated_by_operator"] is True
    refused = owner.post(f"{path}/activate")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "deactivated_by_operator")
    assert member.get("/me").status_code == 401
    back = operator.post(f"{path}/activate").json()
    assert (back["active"], back["deactivated_by_operator"]) == (True, False)
    assert member.get("/me").status_code == 200
    told = owner.get(f"/audit-log?entity_kind=user&entity_id={member.user_id}").json()["data"]
    assert told[0]["before"] == {"active": False, "deactivated_by_operator": True}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("asked", [100_000, None])
def test_an_accounts_rates_are_an_operators_to_change(
    edge: EdgeProcess, owner: Person, account_id: str, rate: str, asked: int | None
) -> None:
    operator = new_person(edge, ("operator", None))
    path = f"/accounts/{account_id}"
    assert operator.call("PATCH", path, {rate: 7}).json()[rate] == 7
    refused = owner.call("PATCH", path, {"name": "mine", rate: asked})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "role_not_allowed")
    assert rate in refused.json()["error"]["message"]
    shown = owner.call("PATCH", path, {"name": "mine"}).json()
    assert (shown["name"], shown[rate]) == ("mine", 7)


def test_the_rates_within_an_account_are_the_owners(owner: Person, account_id: str) -> None:
    project = owner.post("/projects", {"account_id": account_id, "name": "p"}).json()["project_id"]
    key = owner.post("/keys", {"project_id": project, "name": "k"}).json()["key_id"]
    for path in (f"/projects/{project}", f"/keys/{key}"):
        assert owner.call("PATCH", path, {rate: 9 for rate in RATES}).json()["tokens_per_minute"] == 9


def test_an_account_whose_rates_were_asked_for_by_a_stranger_does_not_exist_for_them(edge: EdgeProcess, owner: Person) -> None:
    stranger = new_person(edge, ("owner", new_account(edge)))
    theirs = owner.get("/accounts").json()["data"][0]["account_id"]
    assert stranger.call("PATCH", f"/accounts/{theirs}", {"tokens_per_minute": 9}).status_code == 404
