"""Accounts, projects and keys, as operators make, list, freeze and revoke them."""

import json
from typing import Any

import httpx
import psycopg
import pytest

from schemas import topics
from schemas.control import ControlRecord
from tests.integration.edge.processes import ADMIN, CHAT, EdgeProcess, Key, until
from tests.integration.edge.topic_reader import read_topic
from tests.logins import as_service


def shape(reply: httpx.Response) -> dict[str, Any]:
    """The error in a reply, which must be in the shape."""
    error: dict[str, Any] = reply.json()["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    return error


def listed(edge: EdgeProcess, path: str, **query: Any) -> dict[str, Any]:
    """A page of a list."""
    page: dict[str, Any] = edge.client.get(f"/admin/{path}", params=query, headers=ADMIN).raise_for_status().json()
    return page


def test_a_new_key_opens_the_door_and_its_secret_is_stored_nowhere(edge: EdgeProcess, key: Key, migrated_url: str) -> None:
    assert edge.chat(key).status_code == 200
    secret = key.api_key[19:]
    with psycopg.connect(migrated_url) as connection:
        row = connection.execute("SELECT k::text FROM edge.api_key k WHERE key_id = %s", [key.key_id]).fetchone()
    assert row is not None
    assert secret not in row[0]
    assert secret not in edge.client.get(f"/admin/keys/{key.key_id}", headers=ADMIN).text


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "bearer"}])
@pytest.mark.parametrize("path", ["/admin/accounts", "/admin/nothing", "/admin/openapi.json"])
def test_without_the_admin_token_nothing_is_told(edge: EdgeProcess, path: str, headers: dict[str, str]) -> None:
    reply = edge.client.get(path, headers=headers)
    assert (reply.status_code, shape(reply)["code"]) == (401, "invalid_api_key")


def test_a_clients_key_is_no_admin_token(edge: EdgeProcess, key: Key) -> None:
    assert edge.client.get("/admin/accounts", headers=key.headers).status_code == 401


def test_the_api_describes_itself(edge: EdgeProcess) -> None:
    paths = edge.client.get("/admin/openapi.json", headers=ADMIN).json()["paths"]
    assert {"/accounts", "/projects", "/keys", "/keys/{entity_id}/revoke"} <= {path.removeprefix("/admin") for path in paths}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/accounts", {}, "name"),
        ("/accounts", {"name": ""}, "name"),
        ("/accounts", {"name": 7}, "name"),
        ("/accounts", {"name": "a", "nmae": "b"}, "nmae"),
        ("/projects", {"name": "a"}, "account_id"),
        ("/accounts", {"name": "a", "policy": {"models": "gpt-4o"}}, "policy.models"),
        ("/projects", {"account_id": "a", "name": "a", "policy": {"fallback": "maybe"}}, "policy.fallback"),
        ("/keys/none/policy", {}, "policy"),
        ("/keys/none/policy", {"policy": {"max_attempts": 11}}, "policy.max_attempts"),
        ("/keys", {"project_id": "p", "name": "a", "policy": {"modles": []}}, "policy.modles"),
        ("/keys", {"project_id": "p", "name": "a", "policy": {"max_attempts": 0}}, "policy.max_attempts"),
        ("/keys", {"project_id": "p", "name": "a", "policy": {"max_attempts": "4"}}, "policy.max_attempts"),
        ("/keys", {"project_id": "p", "name": "a", "environment": "a\x1bb"}, "environment"),
        ("/accounts", {"name": "a\u202eb"}, "name"),
        ("/accounts", {"name": "a\nb"}, "name"),
        ("/accounts", {"name": "a", "policy": {"fallback": "no"}}, "policy.fallback"),
        ("/accounts", {"name": "a", "policy": {"cross_bucket": 1}}, "policy.cross_bucket"),
        ("/accounts", {"name": "a", "policy": {"store_replies": "false"}}, "policy.store_replies"),
        ("/keys", {"project_id": "p", "name": "a", "policy": {"route_types": ["free"]}}, "policy.route_types.0"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_by_its_field(
    edge: EdgeProcess, path: str, body: dict[str, Any], param: str
) -> None:
    reply = edge.admin(path, body)
    assert (reply.status_code, shape(reply)["param"]) == (422, param)


@pytest.mark.parametrize(
    ("path", "body"), [("/projects", {"account_id": "acc_no", "name": "p"}), ("/keys", {"project_id": "no", "name": "k"})]
)
def test_an_unknown_parent_is_not_found(edge: EdgeProcess, path: str, body: dict[str, Any]) -> None:
    reply = edge.admin(path, body)
    assert reply.status_code == 404
    assert shape(reply)["code"].endswith("_not_found")


@pytest.mark.parametrize("path", ["/accounts/no/freeze", "/projects/no/unfreeze", "/keys/no/revoke"])
def test_an_unknown_id_is_not_found(edge: EdgeProcess, path: str) -> None:
    reply = edge.admin(path)
    assert (reply.status_code, shape(reply)["type"]) == (404, "invalid_request_error")


@pytest.mark.parametrize("body", [{"name": "a\x00b"}, {"name": "\ud800"}])
def test_a_text_that_cannot_be_stored_is_refused(edge: EdgeProcess, body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    reply = edge.client.post("/admin/accounts", content=content, headers=ADMIN | {"content-type": "application/json"})
    assert reply.status_code in {400, 422}
    assert shape(reply)["type"] == "invalid_request_error"


def test_an_id_that_cannot_be_stored_is_refused(edge: EdgeProcess) -> None:
    reply = edge.admin("/keys/%00/freeze")
    assert (reply.status_code, shape(reply)["code"]) == (400, "invalid_value")


def test_bytes_that_are_no_json_are_a_bad_request(edge: EdgeProcess) -> None:
    reply = edge.client.post("/admin/accounts", content=b"{", headers=ADMIN | {"content-type": "application/json"})
    assert (reply.status_code, shape(reply)["code"]) == (400, "invalid_json")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/admin/nothing", 404), ("DELETE", "/admin/accounts", 405)])
def test_an_unknown_path_or_method_is_answered_in_the_shape(edge: EdgeProcess, method: str, path: str, status: int) -> None:
    reply = edge.client.request(method, path, headers=ADMIN)
    assert reply.status_code == status
    assert shape(reply)["code"] in {"unknown_url", "method_not_allowed"}


def test_a_wrong_method_is_told_every_right_one(edge: EdgeProcess) -> None:
    assert edge.client.request("DELETE", "/admin/projects/none", headers=ADMIN).headers["allow"] == "GET, PATCH"
    assert edge.client.request("OPTIONS", "/admin/me/tokens", headers=ADMIN).headers["allow"] == "GET, POST"


def test_a_create_call_repeated_gives_the_first_reply_secret_included(edge: EdgeProcess, key: Key) -> None:
    body = {"project_id": key.project_id, "name": "once"}
    replies = [edge.admin("/keys", body, **{"idempotency-key": "make-once"}) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [201, 201]
    assert replies[0].json() == replies[1].json()
    assert len([one for one in listed(edge, "keys", project_id=key.project_id)["data"] if one["name"] == "once"]) == 1


def test_a_create_call_repeated_with_another_body_conflicts(edge: EdgeProcess) -> None:
    edge.admin("/accounts", {"name": "a"}, **{"idempotency-key": "make-a"})
    reply = edge.admin("/accounts", {"name": "b"}, **{"idempotency-key": "make-a"})
    assert (reply.status_code, shape(reply)["code"]) == (409, "idempotency_conflict")


def test_a_stored_reply_is_encrypted(edge: EdgeProcess, key: Key, migrated_url: str) -> None:
    made = edge.admin("/keys", {"project_id": key.project_id, "name": "n"}, **{"idempotency-key": "sealed"}).json()
    with psycopg.connect(migrated_url) as connection:
        row = connection.execute("SELECT reply FROM edge.admin_reply WHERE idempotency_key = 'sealed'").fetchone()
    assert row is not None
    assert made["api_key"].encode() not in bytes(row[0])
    assert made["key_id"].encode() not in bytes(row[0])


def test_a_list_is_paged_in_id_order_without_gaps(edge: EdgeProcess, key: Key) -> None:
    made = {edge.admin("/keys", {"project_id": key.project_id, "name": f"k{number}"}).json()["key_id"] for number in range(6)}
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = listed(edge, "keys", project_id=key.project_id, limit=3, after=after)
        assert len(page["data"]) <= 3
        found += [one["key_id"] for one in page["data"]]
        after = page["next_after"]
    assert found == sorted(made | {key.key_id})


@pytest.mark.parametrize("kind", ["account", "project", "key"])
def test_a_freeze_stops_calls_at_once_and_an_unfreeze_lets_them_go_on(edge: EdgeProcess, key: Key, kind: str) -> None:
    entity = getattr(key, f"{kind}_id")
    assert edge.chat(key).status_code == 200
    assert edge.admin(f"/{kind}s/{entity}/freeze").json()["frozen"]
    reply = edge.chat(key)
    assert (reply.status_code, shape(reply)["code"]) == (403, f"{kind}_frozen")
    assert not edge.admin(f"/{kind}s/{entity}/unfreeze").json()["frozen"]
    assert edge.chat(key).status_code == 200


def test_a_revoked_key_is_refused_for_good(edge: EdgeProcess, key: Key) -> None:
    assert edge.chat(key).status_code == 200
    assert edge.admin(f"/keys/{key.key_id}/revoke").json()["revoked"]
    edge.admin(f"/keys/{key.key_id}/unfreeze")
    reply = edge.chat(key)
    assert (reply.status_code, shape(reply)["code"]) == (401, "invalid_api_key")


def test_every_change_is_published_in_order_under_its_entity(edge: EdgeProcess, key: Key, kafka_bootstrap_servers: str) -> None:
    for verb in ("freeze", "unfreeze", "revoke"):
        edge.admin(f"/keys/{key.key_id}/{verb}")

    def published() -> list[ControlRecord]:
        records = read_topic(kafka_bootstrap_servers, topics.CONTROL)
        return [ControlRecord.model_validate_json(one.value) for one in records if one.key == f"key/{key.key_id}".encode()]

    until(lambda: len(published()) == 4, published)
    assert [(one.version, one.frozen, one.revoked) for one in published()] == [
        (1, False, False),
        (2, True, False),
        (3, False, False),
        (4, False, True),
    ]


def test_a_policy_is_obeyed_as_it_was_given(edge: EdgeProcess) -> None:
    bound = edge.new_key(policy={"models": ["gpt-4o"], "max_attempts": 1}, environment="staging")
    assert edge.chat(bound).status_code == 200
    assert edge.chat(bound, CHAT | {"model": "other"}).status_code == 403
    shown = edge.client.get(f"/admin/keys/{bound.key_id}", headers=ADMIN).json()
    assert (shown["policy"]["models"], shown["policy"]["max_attempts"], shown["environment"]) == (["gpt-4o"], 1, "staging")


@pytest.mark.parametrize("kind", ["account", "project", "key"])
def test_every_change_names_who_made_it_and_why(edge: EdgeProcess, key: Key, kind: str, kafka_bootstrap_servers: str) -> None:
    entity = getattr(key, f"{kind}_id")
    path = f"/{kind}s/{entity}"
    assert edge.client.get(f"/admin{path}", headers=ADMIN).json()["updated_by"] is None
    frozen = edge.admin(f"{path}/freeze", {"author": "ada", "reason": "burns money"}).json()
    assert (frozen["frozen"], frozen["updated_by"]) == (True, "ada")
    edge.admin(f"{path}/unfreeze")
    edge.admin(f"{path}/policy", {"policy": {"fallback": False}, "author": "bo"})
    assert edge.client.get(f"/admin{path}", headers=ADMIN).json()["updated_by"] == "bo"
    page = listed(edge, f"{kind}s/{entity}/changes", limit=2)
    rest = listed(edge, f"{kind}s/{entity}/changes", after=page["next_after"])
    told = [(each["what"], each["author"], each["reason"]) for each in page["data"] + rest["data"]]
    assert told == [("frozen", "ada", "burns money"), ("unfrozen", "admin", None), ("policy", "bo", None)]
    assert (rest["data"][0]["policy"]["fallback"], rest["next_after"]) == (False, None)

    def published() -> list[str | None]:
        records = read_topic(kafka_bootstrap_servers, topics.CONTROL)
        mine = f"{kind}/{entity}".encode()
        return [ControlRecord.model_validate_json(one.value).author for one in records if one.key == mine]

    until(lambda: published() == [None, "ada", "admin", "bo"], published)


def test_an_author_is_a_plain_name_and_the_record_of_changes_only_grows(edge: EdgeProcess, key: Key, migrated_url: str) -> None:
    assert shape(edge.admin(f"/keys/{key.key_id}/freeze", {"author": "a\u202eb"}))["param"] == "author"
    assert shape(edge.admin(f"/keys/{key.key_id}/freeze", {"autor": "ada"}))["param"] == "autor"
    assert edge.client.get("/admin/keys/none/changes", headers=ADMIN).status_code == 404
    edge.admin(f"/keys/{key.key_id}/revoke", {"author": "ada"})
    with psycopg.connect(as_service(migrated_url, "edge")) as connection:
        for change in ("UPDATE edge.change SET author = 'x'", "DELETE FROM edge.change"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(change)
