"""Users, roles and access tokens: who makes them, what they open, when they end."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from services.edge.identities import PresentedToken
from tests.integration.edge.people import Person, new_account, new_person
from tests.integration.edge.processes import ADMIN, EdgeProcess, Key


@pytest.fixture
def account_id(edge: EdgeProcess) -> str:
    """An account of the test's own."""
    return new_account(edge)


@pytest.fixture
def owner(edge: EdgeProcess, account_id: str) -> Person:
    """The account's only owner."""
    return new_person(edge, ("owner", account_id))


def code(reply: httpx.Response) -> tuple[int, str]:
    """Status and error code."""
    return reply.status_code, reply.json()["error"]["code"]


def introspected(edge: EdgeProcess, token: str, service: str = "settlement") -> dict[str, Any]:
    """What edge tells another service of a token."""
    headers = {"authorization": f"Bearer {service}-token-of-tests"}
    reply = edge.client.post("/internal/introspect", json={"token": token}, headers=headers)
    answer: dict[str, Any] = reply.raise_for_status().json()
    return answer


def test_a_token_opens_admin_calls_alone_and_its_secret_is_stored_nowhere(
    edge: EdgeProcess, owner: Person, key: Key, migrated_url: str
) -> None:
    assert owner.get("/accounts").status_code == 200
    assert code(edge.chat(Key(owner.token, "", "", ""))) == (401, "invalid_api_key")
    assert edge.client.get("/admin/me", headers=key.headers).status_code == 401
    with psycopg.connect(migrated_url) as connection:
        row = connection.execute("SELECT t::text FROM edge.access_token t WHERE token_id = %s", [owner.token_id]).fetchone()
    assert row is not None
    assert owner.token[17:] not in row[0]
    for path in (f"/users/{owner.user_id}/tokens", "/me/tokens", "/audit-log"):
        assert owner.token[17:] not in owner.get(path).text


def test_whoever_calls_is_told_who_they_are(edge: EdgeProcess, owner: Person, account_id: str) -> None:
    me = owner.get("/me").json()
    assert (me["user_id"], me["name"], me["root"], me["token_id"]) == (owner.user_id, "Ada", False, owner.token_id)
    assert me["grants"] == [{"role": "owner", "account_id": account_id}]
    root = edge.client.get("/admin/me", headers=ADMIN).json()
    assert (root["user_id"], root["root"], root["token_id"]) == ("root", True, None)
    assert edge.client.get("/admin/me/tokens", headers=ADMIN).status_code == 404


@pytest.mark.parametrize("service", ["settlement", "router", "analytics"])
def test_the_other_services_are_told_whose_token_it_is(edge: EdgeProcess, owner: Person, account_id: str, service: str) -> None:
    assert introspected(edge, owner.token, service) == {
        "active": True,
        "user_id": owner.user_id,
        "name": "Ada",
        "grants": [{"role": "owner", "account_id": account_id}],
    }


def test_of_what_is_no_token_nothing_is_told(edge: EdgeProcess, owner: Person, key: Key) -> None:
    mistyped = owner.token[:-1] + ("A" if owner.token[-1] != "A" else "B")
    # Right in form and checksum, and of a token that there is: only the secret is another one's.
    forged = PresentedToken(owner.token_id, PresentedToken.mint().secret).token()
    for token in (mistyped, forged, key.api_key, "", "tbu-", ADMIN["authorization"][7:]):
        assert introspected(edge, token) == {"active": False}
    assert code(Person(edge, "", "", forged).get("/me")) == (401, "invalid_api_key")


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer edge-token-of-tests", ADMIN["authorization"]])
def test_only_the_other_services_may_ask_whose_token_it_is(edge: EdgeProcess, authorization: str) -> None:
    reply = edge.client.post("/internal/introspect", json={"token": ""}, headers={"authorization": authorization})
    assert code(reply) == (401, "unauthorized")


@pytest.mark.parametrize(("content", "status"), [(b"{", 422), (b"{}", 422), (b'{"token": 7}', 422), (b"x" * 5000, 413)])
def test_a_question_that_is_none_is_refused(edge: EdgeProcess, content: bytes, status: int) -> None:
    headers = {"authorization": "Bearer settlement-token-of-tests"}
    assert edge.client.post("/internal/introspect", content=content, headers=headers).status_code == status


def test_a_revoked_token_counts_nowhere_any_more(edge: EdgeProcess, owner: Person) -> None:
    other = edge.admin(f"/users/{owner.user_id}/tokens", {"name": "phone"}).json()
    reply = owner.post(f"/me/tokens/{owner.token_id}/revoke", {"reason": "lost"})
    assert (reply.status_code, reply.json()["revoked_at"] is None) == (200, False)
    assert code(owner.get("/me")) == (401, "invalid_api_key")
    assert introspected(edge, owner.token) == {"active": False}
    assert introspected(edge, other["access_token"])["active"]
    again = edge.admin(f"/users/{owner.user_id}/tokens/{owner.token_id}/revoke")
    assert again.json() == reply.json()


def test_an_expired_token_counts_nowhere_any_more(edge: EdgeProcess, owner: Person, migrated_url: str) -> None:
    made = edge.admin(f"/users/{owner.user_id}/tokens", {"name": "short", "expires_at": "1h"}).json()
    assert introspected(edge, made["access_token"])["expires_at"] is not None
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        connection.execute("UPDATE edge.access_token SET expires_at = now() WHERE token_id = %s", [made["token_id"]])
    assert introspected(edge, made["access_token"]) == {"active": False}
    reply = edge.admin(f"/users/{owner.user_id}/tokens", {"name": "past", "expires_at": "2020-01-01T00:00:00Z"})
    assert code(reply) == (422, "invalid_value")


def test_a_token_does_not_outlive_the_one_that_made_it(edge: EdgeProcess, owner: Person) -> None:
    body = {"name": "short", "expires_at": "1h"}
    short = edge.admin(f"/users/{owner.user_id}/tokens", body).json()
    holder = Person(edge, owner.user_id, short["token_id"], short["access_token"])
    for path in ("/me/tokens", f"/users/{owner.user_id}/tokens"):
        for asked in ({}, {"expires_at": "30d"}):
            assert holder.post(path, {"name": "longer", **asked}).json()["expires_at"] == short["expires_at"]
        assert holder.post(path, {"name": "sooner", "expires_at": "1m"}).json()["expires_at"] < short["expires_at"]
    assert owner.post("/me/tokens", {"name": "for ever"}).json()["expires_at"] is None


def test_the_day_of_the_last_use_is_kept(edge: EdgeProcess, owner: Person) -> None:
    listed = edge.client.get(f"/admin/users/{owner.user_id}/tokens", headers=ADMIN).json()["data"]
    assert listed[0]["last_used_on"] is None
    owner.get("/me")
    day = owner.get("/me/tokens").json()["data"][0]["last_used_on"]
    today = datetime.now(UTC).date()
    assert day in {str(today), str(today - timedelta(days=1))}


def test_a_deactivated_user_is_nobody_until_activated_again(edge: EdgeProcess, owner: Person, account_id: str) -> None:
    member = new_person(edge, ("member", account_id))
    assert owner.post(f"/users/{member.user_id}/deactivate", {"reason": "left"}).json()["active"] is False
    assert member.get("/me").status_code == 401
    assert introspected(edge, member.token) == {"active": False}
    assert owner.post(f"/users/{member.user_id}/activate").json()["active"] is True
    assert member.get("/me").status_code == 200
    told = owner.get(f"/audit-log?entity_kind=user&entity_id={member.user_id}").json()["data"]
    assert [(each["action"], each["actor"], each["reason"]) for each in told] == [
        ("user.activate", owner.user_id, None),
        ("user.deactivate", owner.user_id, "left"),
        ("user.create", "root", None),
    ]


def test_an_owner_makes_users_of_the_own_account(owner: Person, account_id: str, edge: EdgeProcess) -> None:
    grants = [{"role": "member", "account_id": account_id}]
    made = owner.post("/users", {"name": "Bo", "grants": grants}).json()
    token = owner.post(f"/users/{made['user_id']}/tokens", {"name": "first"}).json()["access_token"]
    member = Person(edge, made["user_id"], "", token)
    assert [each["account_id"] for each in member.get("/accounts").json()["data"]] == [account_id]
    assert owner.call("PATCH", f"/users/{made['user_id']}", {"name": "Bob"}).json()["name"] == "Bob"
    listed = owner.get("/users").json()["data"]
    assert {each["user_id"] for each in listed} == {owner.user_id, made["user_id"]}
    assert listed == owner.get(f"/users?account_id={account_id}").json()["data"]
    assert {each["role"] for each in owner.get("/grants").json()["data"]} == {"owner", "member"}


def test_nobody_gives_a_role_wider_than_their_own(edge: EdgeProcess, owner: Person, account_id: str) -> None:
    other = new_account(edge)
    for path in ("/users", f"/users/{owner.user_id}/grants"):

        def ask(role: str, account: str | None, path: str = path) -> httpx.Response:
            grant = {"role": role, "account_id": account}
            return owner.post(path, {"name": "Bo", "grants": [grant]} if path == "/users" else grant)

        assert code(ask("operator", None)) == (403, "role_not_allowed")
        assert code(ask("on-call", None)) == (403, "role_not_allowed")
        assert code(ask("member", other)) == code(ask("member", "acc_none")) == (404, "account_not_found")
        assert ask("billing", account_id).status_code == 201
    assert code(owner.post("/users", {"name": "Bo"})) == (403, "role_not_allowed")


def test_an_owner_has_no_power_over_a_user_with_roles_elsewhere(edge: EdgeProcess, owner: Person, account_id: str) -> None:
    other = new_account(edge)
    both = new_person(edge, ("member", account_id), ("owner", other))
    operator = new_person(edge, ("member", account_id), ("operator", None))
    for person in (both, operator):
        for path, body in (("/tokens", {"name": "stolen"}), ("/deactivate", {}), (f"/tokens/{person.token_id}/revoke", {})):
            assert code(owner.post(f"/users/{person.user_id}{path}", body)) == (403, "role_not_allowed")
        assert owner.call("PATCH", f"/users/{person.user_id}", {"name": "x"}).status_code == 403
        shown = owner.get(f"/users/{person.user_id}").json()
        assert [each["account_id"] for each in shown["grants"]] == [account_id]
        assert [each["account_id"] for each in owner.get(f"/grants?user_id={person.user_id}").json()["data"]] == [account_id]


def test_whoever_is_in_none_of_a_users_accounts_is_told_of_no_such_user(edge: EdgeProcess, owner: Person) -> None:
    stranger = new_person(edge, ("owner", new_account(edge)))
    unknown = stranger.get("/users/usr_none").json()["error"]["message"].replace("usr_none", "*")
    for path in ("", "/tokens"):
        reply = stranger.get(f"/users/{owner.user_id}{path}")
        assert code(reply) == (404, "user_not_found")
        assert reply.json()["error"]["message"].replace(owner.user_id, "*") == unknown
    grant = owner.get("/grants").json()["data"][0]["grant_id"]
    assert code(stranger.post(f"/grants/{grant}/take")) == code(stranger.post("/grants/grt_none/take"))


def test_a_role_that_is_taken_is_gone_at_once(edge: EdgeProcess, owner: Person, account_id: str) -> None:
    member = new_person(edge, ("member", account_id))
    given = member.get("/grants").json()["data"]
    mine = next(each for each in given if each["user_id"] == member.user_id)
    assert code(member.post(f"/grants/{mine['grant_id']}/take")) == (403, "role_not_allowed")
    assert owner.post(f"/grants/{mine['grant_id']}/take", {"reason": "moved"}).json() == mine
    assert introspected(edge, member.token) == {"active": True, "user_id": member.user_id, "name": "Ada"}
    assert code(member.get("/accounts")) == (403, "role_not_allowed")
    assert code(member.get(f"/accounts/{account_id}")) == (404, "account_not_found")
    assert code(owner.post(f"/grants/{mine['grant_id']}/take")) == (404, "grant_not_found")
    newest = owner.get("/audit-log").json()["data"][0]
    assert (newest["action"], newest["before"]["role"], newest["after"], newest["reason"]) == (
        "grant.take", "member", None, "moved",
    )  # fmt: skip


def test_a_role_is_given_once(edge: EdgeProcess, owner: Person, account_id: str) -> None:
    grant = {"role": "billing", "account_id": account_id}
    given = [owner.post(f"/users/{owner.user_id}/grants", grant).json() for _ in range(2)]
    assert given[0] == given[1]
    assert [each["action"] for each in owner.get("/audit-log?entity_kind=grant").json()["data"]] == ["grant.give"] * 2


def test_an_account_keeps_its_last_owner_unless_an_operator_decides(edge: EdgeProcess, owner: Person, account_id: str) -> None:
    second = new_person(edge, ("owner", account_id))
    grants = {each["user_id"]: each["grant_id"] for each in owner.get("/grants").json()["data"]}
    assert owner.post(f"/grants/{grants[second.user_id]}/take").status_code == 200
    assert code(owner.post(f"/grants/{grants[owner.user_id]}/take")) == (409, "last_owner")
    assert code(owner.post(f"/users/{owner.user_id}/deactivate")) == (409, "last_owner")
    # An owner who is deactivated is no other owner.
    third = new_person(edge, ("owner", account_id))
    assert owner.post(f"/users/{third.user_id}/deactivate").status_code == 200
    assert code(owner.post(f"/grants/{grants[owner.user_id]}/take")) == (409, "last_owner")
    assert new_person(edge, ("operator", None)).post(f"/grants/{grants[owner.user_id]}/take").status_code == 200


def test_of_two_owners_who_take_each_others_role_at_once_one_stays(edge: EdgeProcess) -> None:
    for _ in range(5):
        account_id = new_account(edge)
        pair = [new_person(edge, ("owner", account_id)) for _ in range(2)]
        grants = {each["user_id"]: each["grant_id"] for each in pair[0].get("/grants").json()["data"]}
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(pair[at].post, f"/grants/{grants[pair[1 - at].user_id]}/take") for at in (0, 1)]
        statuses = sorted(each.result().status_code for each in asked)
        # The other one is too late: no owner any more (403, 404), or told that this would end the last one.
        assert statuses[0] == 200, statuses
        assert statuses[1] in {403, 404, 409}, statuses
        left = edge.client.get("/admin/grants", params={"account_id": account_id}, headers=ADMIN).json()["data"]
        assert [each["role"] for each in left] == ["owner"]


def test_an_idempotency_key_is_the_users_own(edge: EdgeProcess, owner: Person, account_id: str) -> None:
    second = new_person(edge, ("owner", account_id))
    grants = [{"role": "member", "account_id": account_id}]
    repeated = {"idempotency-key": f"make-{account_id}"}
    made = [owner.post("/users", {"name": "Bo", "grants": grants}, **repeated) for _ in range(2)]
    assert made[0].json() == made[1].json()
    assert code(owner.post("/users", {"name": "Cy", "grants": grants}, **repeated)) == (409, "idempotency_conflict")
    other = second.post("/users", {"name": "Bo", "grants": grants}, **repeated).json()
    assert other["user_id"] != made[0].json()["user_id"]
    tokens = [
        each.post(f"/users/{other['user_id']}/tokens", {"name": "t"}, **repeated).json()["access_token"]
        for each in (owner, owner, second)
    ]
    assert tokens[0] == tokens[1] != tokens[2]


def test_a_user_is_recorded_as_the_author_whatever_the_call_names(edge: EdgeProcess, owner: Person, account_id: str) -> None:
    reply = owner.post(f"/accounts/{account_id}/freeze", {"author": "root", "reason": "pause"})
    assert reply.json()["updated_by"] == f"{owner.user_id} (Ada)"
    newest = owner.get("/audit-log").json()["data"][0]
    assert (newest["actor"], newest["actor_name"], newest["reason"]) == (owner.user_id, "Ada", "pause")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"name": "a", "grants": [{"role": "king"}]}, "grants.0.role"),
        ({"name": "a", "grants": [{"role": "owner"}]}, "grants.0"),
        ({"name": "a", "grants": [{"role": "operator", "account_id": "acc_1"}]}, "grants.0"),
        ({"name": "a", "nmae": "b"}, "nmae"),
    ],
)
def test_a_user_that_does_not_fit_is_refused_by_the_field(edge: EdgeProcess, body: dict[str, Any], param: str) -> None:
    reply = edge.admin("/users", body)
    assert (code(reply), reply.json()["error"]["param"]) == ((422, "invalid_value"), param)


@pytest.mark.parametrize("kind", ["account", "project", "key"])
@pytest.mark.parametrize("role", ["operator", "on-call"])
def test_what_an_operator_froze_no_owner_unfreezes(edge: EdgeProcess, key: Key, kind: str, role: str) -> None:
    owner, brake = new_person(edge, ("owner", key.account_id)), new_person(edge, (role, None))
    path = f"/{kind}s/{getattr(key, f'{kind}_id')}"
    assert owner.post(f"{path}/freeze").json()["frozen_by_operator"] is False
    assert owner.post(f"{path}/unfreeze").json()["frozen"] is False
    owner.post(f"{path}/freeze")
    assert brake.post(f"{path}/freeze").json()["frozen_by_operator"] is True
    assert owner.post(f"{path}/freeze").json()["frozen_by_operator"] is True
    assert code(owner.post(f"{path}/unfreeze")) == (403, "frozen_by_operator")
    assert edge.chat(key).status_code == 403
    freed = brake.post(f"{path}/unfreeze").json()
    assert (freed["frozen"], freed["frozen_by_operator"]) == (False, False)
    assert edge.chat(key).status_code == 200
