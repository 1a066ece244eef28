"""A token opens no more than its maker could have given: a role beyond that ends it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.edge.people import Person, new_account, new_person
from tests.integration.edge.processes import EdgeProcess


@pytest.fixture
def account_id(edge: EdgeProcess) -> str:
    """An account of the test's own."""
    return new_account(edge)


@pytest.fixture
def owner(edge: EdgeProcess, account_id: str) -> Person:
    """The account's only owner."""
    return new_person(edge, ("owner", account_id))


def member_of(owner: Person, account_id: str) -> Person:
    """A user whom the owner made, with the owner's copy of a token."""
    grants = [{"role": "member", "account_id": account_id}]
    user_id = owner.post("/users", {"name": "V", "grants": grants}).raise_for_status().json()["user_id"]
    return another_token(owner, user_id)


def another_token(maker: Person, user_id: str) -> Person:
    """A token of the user that the maker made."""
    made = maker.post(f"/users/{user_id}/tokens", {"name": "t"}).raise_for_status().json()
    return Person(maker.edge, user_id, made["token_id"], made["access_token"])


def own_token(person: Person) -> Person:
    """A token that a user, or whoever has a copy of the user's token, made with it."""
    made = person.post("/me/tokens", {"name": "own"}).raise_for_status().json()
    return Person(person.edge, person.user_id, made["token_id"], made["access_token"])


@pytest.mark.parametrize("role", ["operator", "on-call", "member"])
def test_a_role_beyond_what_a_tokens_maker_could_give_ends_the_token_and_all_that_were_made_with_it(
    edge: EdgeProcess, owner: Person, account_id: str, role: str
) -> None:
    copy = member_of(owner, account_id)
    made_with_it, operator = own_token(copy), new_person(edge, ("operator", None))
    given = another_token(operator, copy.user_id)
    grant = {"role": role, "account_id": new_account(edge) if role == "member" else None}
    operator.post(f"/users/{copy.user_id}/grants", grant).raise_for_status()
    assert [each.get("/me").status_code for each in (copy, made_with_it, given, own_token(given))] == [401, 401, 200, 200]
    told = operator.get(f"/audit-log?entity_kind=token&entity_id={copy.token_id}").json()["data"][0]
    assert (told["action"], told["actor"], told["before"]) == ("token.revoke", operator.user_id, {"revoked_at": None})
    assert f"the role {role}" in told["reason"]


def test_a_role_that_the_tokens_maker_could_give_leaves_it(edge: EdgeProcess, owner: Person, account_id: str) -> None:
    copy = member_of(owner, account_id)
    edge.admin(f"/users/{copy.user_id}/grants", {"role": "billing", "account_id": account_id}).raise_for_status()
    assert copy.get("/me").status_code == 200


def test_a_token_that_is_made_with_an_owners_token_is_no_operators_when_both_become_operators(
    edge: EdgeProcess, owner: Person, account_id: str
) -> None:
    second = member_of(owner, account_id)
    owner.post(f"/users/{second.user_id}/grants", {"role": "owner", "account_id": account_id}).raise_for_status()
    third = member_of(second, account_id)
    for person in (second, third):
        edge.admin(f"/users/{person.user_id}/grants", {"role": "operator", "account_id": None}).raise_for_status()
    assert [each.get("/me").status_code for each in (second, third, owner)] == [401, 401, 200]


def test_no_token_slips_in_while_a_role_is_given(edge: EdgeProcess, owner: Person, account_id: str) -> None:
    for _ in range(5):
        user_id = member_of(owner, account_id).user_id
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(owner.post, f"/users/{user_id}/tokens", {"name": "t"}) for _ in range(3)]
            pool.submit(edge.admin, f"/users/{user_id}/grants", {"role": "operator", "account_id": None}).result()
        for reply in (each.result() for each in asked):
            assert reply.status_code in {201, 403}, reply.text
            if reply.status_code == 201:
                assert Person(edge, user_id, "", reply.json()["access_token"]).get("/me").status_code == 401


def test_the_people_of_one_account_see_no_token_that_those_of_another_made(
    edge: EdgeProcess, owner: Person, account_id: str
) -> None:
    member, other = member_of(owner, account_id), new_account(edge)
    edge.admin(f"/users/{member.user_id}/grants", {"role": "member", "account_id": other}).raise_for_status()
    user = another_token(new_person(edge, ("operator", None)), member.user_id)
    everything = {member.token_id, user.token_id}

    def seen(person: Person) -> set[str]:
        listed = person.get(f"/users/{member.user_id}/tokens").raise_for_status().json()["data"]
        return {each["token_id"] for each in listed}

    for role in ("billing", "member", "owner"):
        assert seen(new_person(edge, (role, other))) == set()
    assert seen(owner) == {member.token_id}
    both = new_person(edge, ("owner", account_id), ("owner", other))
    for person in (user, both, new_person(edge, ("on-call", None)), new_person(edge, ("operator", None))):
        assert seen(person) == everything
