"""Policies on accounts, projects and keys: set at creation, changed by a call, obeyed at once, shown with what they come to."""

from typing import Any

import httpx
import psycopg
import pytest

from schemas import topics
from schemas.control import ControlRecord
from tests.integration.edge.peers import Peers
from tests.integration.edge.processes import ADMIN, CHAT, EdgeProcess, Key, until
from tests.integration.edge.topic_reader import read_topic

MINI = {"models": ["gpt-4o-mini"]}
SUBJECTS = {"account": "This account", "project": "This project", "key": "This API key"}


def shown(edge: EdgeProcess, key: Key, kind: str) -> dict[str, Any]:
    """An entity as an operator sees it."""
    entity: dict[str, Any] = edge.client.get(f"/admin/{kind}s/{getattr(key, f'{kind}_id')}", headers=ADMIN).json()
    return entity


def set_policy(edge: EdgeProcess, key: Key, kind: str, policy: dict[str, Any] | None) -> httpx.Response:
    """Change one envelope's policy."""
    return edge.admin(f"/{kind}s/{getattr(key, f'{kind}_id')}/policy", {"policy": policy}).raise_for_status()


@pytest.mark.parametrize("kind", ["account", "project", "key"])
def test_a_policy_counts_at_once_names_its_envelope_and_is_gone_with_null(edge: EdgeProcess, key: Key, kind: str) -> None:
    assert edge.chat(key).status_code == 200
    set_policy(edge, key, kind, MINI)
    error = edge.chat(key).json()["error"]
    assert (error["code"], error["param"]) == ("model_not_allowed", "model")
    assert error["message"] == f"{SUBJECTS[kind]} may not use the model 'gpt-4o'."
    assert error["envelope"] == {"kind": kind, "id": getattr(key, f"{kind}_id"), "window": None}
    assert edge.chat(key, CHAT | {"model": "gpt-4o-mini"}).status_code == 200
    assert set_policy(edge, key, kind, None).json()["policy"] is None
    assert edge.chat(key).status_code == 200


def test_every_envelope_narrows_and_each_view_shows_its_own_and_what_it_comes_to(edge: EdgeProcess, key: Key) -> None:
    set_policy(edge, key, "account", {"models": ["gpt-4o", "gpt-4o-mini"], "route_types": ["direct", "pooled"]})
    set_policy(edge, key, "project", {"max_attempts": 2, "cross_bucket": True})
    set_policy(edge, key, "key", {"models": ["gpt-4o-mini", "o3"], "route_types": ["pooled", "subscription"]})
    views = {kind: shown(edge, key, kind) for kind in SUBJECTS}
    assert {kind: view["effective_policy"]["models"] for kind, view in views.items()} == {
        "account": ["gpt-4o", "gpt-4o-mini"],
        "project": ["gpt-4o", "gpt-4o-mini"],
        "key": ["gpt-4o-mini"],
    }
    left = views["key"]["effective_policy"]
    assert (left["route_types"], left["max_attempts"], left["cross_bucket"]) == (["pooled"], 2, True)
    assert (views["project"]["policy"]["models"], views["project"]["policy"]["max_attempts"]) == (None, 2)
    listed = edge.client.get("/admin/keys", params={"project_id": key.project_id}, headers=ADMIN).json()["data"]
    assert [one["effective_policy"] for one in listed] == [left]


def test_router_gets_what_all_envelopes_leave(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    set_policy(edge, key, "account", {"route_types": ["direct"], "fallback": False})
    edge.chat(key)
    context = peers.calls[-1].context
    assert (context.policy.route_types, context.policy.fallback) == (["direct"], False)
    assert [(limit.kind, limit.id) for limit in context.route_limits] == [("account", key.account_id)]


def test_policies_are_taken_at_creation(edge: EdgeProcess) -> None:
    account = edge.admin("/accounts", {"name": "a", "policy": MINI}).json()
    body = {"account_id": account["account_id"], "name": "p", "policy": {"fallback": False}}
    project = edge.admin("/projects", body).json()
    made = edge.admin("/keys", {"project_id": project["project_id"], "name": "k"}).json()
    assert (account["policy"]["models"], project["policy"]["fallback"], made["policy"]) == (MINI["models"], False, None)
    assert (made["effective_policy"]["models"], made["effective_policy"]["fallback"]) == (MINI["models"], False)
    key = Key(made["api_key"], made["key_id"], project["project_id"], account["account_id"])
    assert edge.chat(key).status_code == 403


def test_models_are_listed_within_every_envelope(edge: EdgeProcess, key: Key) -> None:
    set_policy(edge, key, "project", {"models": ["org/tiny"]})
    models = edge.client.get("/v1/models", headers=key.headers).json()["data"]
    assert [model["id"] for model in models] == ["org/tiny"]


@pytest.mark.parametrize("kind", ["account", "project", "key"])
def test_a_change_is_dated_and_announced_under_its_entity(
    edge: EdgeProcess, key: Key, kafka_bootstrap_servers: str, kind: str
) -> None:
    before = shown(edge, key, kind)
    changed = set_policy(edge, key, kind, MINI).json()
    assert changed["version"] == before["version"] + 1
    assert changed["updated_at"] > before["updated_at"]
    name = f"{kind}/{getattr(key, f'{kind}_id')}".encode()

    def announced() -> list[ControlRecord]:
        records = read_topic(kafka_bootstrap_servers, topics.CONTROL)
        return [ControlRecord.model_validate_json(one.value) for one in records if one.key == name]

    until(lambda: [one.version for one in announced()] == [before["version"], changed["version"]], announced)
    assert not announced()[-1].frozen


def test_a_frozen_key_stays_frozen_when_its_policy_changes(edge: EdgeProcess, key: Key) -> None:
    edge.admin(f"/keys/{key.key_id}/freeze")
    assert set_policy(edge, key, "key", {}).json()["frozen"]
    assert edge.chat(key).json()["error"]["code"] == "key_frozen"


def test_an_unknown_id_has_no_policy(edge: EdgeProcess) -> None:
    assert edge.admin("/projects/prj_none/policy", {"policy": None}).status_code == 404


def test_a_key_made_before_there_were_policies_on_every_envelope_keeps_its_own(
    edge: EdgeProcess, key: Key, migrated_url: str
) -> None:
    whole = '{"models": ["*"], "route_types": ["direct"], "fallback": true, "cross_bucket": false, "max_attempts": 4}'
    with psycopg.connect(migrated_url) as connection:
        connection.execute("UPDATE edge.api_key SET policy = %s WHERE key_id = %s", [whole, key.key_id])
    view = shown(edge, key, "key")
    assert view["effective_policy"]["route_types"] == ["direct"]
    assert edge.chat(key).status_code == 200
