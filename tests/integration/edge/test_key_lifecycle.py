"""Keys that are renamed, rotated, that expire or keep to some addresses, on a running edge."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from schemas import topics
from schemas.requests import RequestAccepted, RequestRejected
from services.edge.api_keys import PresentedKey
from tests.integration.edge.peers import Peers
from tests.integration.edge.processes import ADMIN, EdgeProcess, Key, running_edge, until
from tests.integration.edge.topic_reader import read_events
from tests.property.edge.key_mutations import fuzzed

FUZZED = 500
SECRET_FROM = len("sk-tb-") + 13


def patched(edge: EdgeProcess, path: str, body: dict[str, Any]) -> httpx.Response:
    """A PATCH of the admin API."""
    return edge.client.patch(f"/admin{path}", json=body, headers=ADMIN)


def rotated(edge: EdgeProcess, key: Key, overlap: str = "1h", **headers: str) -> Key:
    """The key with its new secret."""
    reply = edge.admin(f"/keys/{key.key_id}/rotate", {"overlap": overlap}, **headers).raise_for_status().json()
    assert reply["key_id"] == key.key_id
    return Key(reply["api_key"], key.key_id, key.project_id, key.account_id)


def refused(reply: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    return reply.status_code, reply.json()["error"]["code"]


def test_a_key_is_renamed_and_relabelled_and_what_is_left_out_stays(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    first = patched(edge, f"/keys/{key.key_id}", {"allowed_ips": ["127.0.0.1"]})
    assert first.json()["allowed_ips"] == ["127.0.0.1/32"]
    changes = {"name": "renamed", "environment": "staging", "author": "ann", "reason": "moved"}
    shown = patched(edge, f"/keys/{key.key_id}", changes).json()
    assert (shown["name"], shown["environment"], shown["updated_by"]) == ("renamed", "staging", "ann")
    assert shown["allowed_ips"] == ["127.0.0.1/32"]
    assert shown == edge.client.get(f"/admin/keys/{key.key_id}", headers=ADMIN).json()
    assert edge.chat(key).status_code == 200
    assert (peers.calls[-1].context.key.key_name, peers.calls[-1].context.environment) == ("renamed", "staging")
    history = edge.client.get(f"/admin/keys/{key.key_id}/changes", headers=ADMIN).json()["data"]
    assert [(each["what"], each["author"], each["reason"]) for each in history] == [
        ("changed", "admin", None),
        ("changed", "ann", "moved"),
    ]


def test_a_change_and_a_rotation_are_in_the_audit_log_without_a_secret(edge: EdgeProcess, key: Key) -> None:
    patched(edge, f"/keys/{key.key_id}", {"name": "renamed", "allowed_ips": ["127.0.0.1"]})
    second = rotated(edge, key)
    query = {"entity_kind": "key", "entity_id": key.key_id}
    reply = edge.client.get("/admin/audit-log", params=query, headers=ADMIN).raise_for_status()
    rotation, change, made = reply.json()["data"]
    assert [each["action"] for each in (made, change, rotation)] == ["key.create", "key.change", "key.rotate"]
    assert change["before"] == {"name": "bot", "allowed_ips": None}
    assert change["after"] == {"name": "renamed", "allowed_ips": ["127.0.0.1/32"]}
    assert rotation["after"]["previous_expires_at"]
    assert not any(each.api_key[SECRET_FROM:] in reply.text for each in (key, second))


@pytest.mark.parametrize(("kind", "name"), [("accounts", "account_id"), ("projects", "project_id")])
def test_accounts_and_projects_are_renamed_too(edge: EdgeProcess, key: Key, kind: str, name: str) -> None:
    assert patched(edge, f"/{kind}/{getattr(key, name)}", {"name": "other"}).json()["name"] == "other"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"author": "ann"},
        {"name": None},
        {"environment": None},
        {"allowed_ips": []},
        {"allowed_ips": ["10.0.0.1/8"]},
        {"allowed_ips": ["here"]},
        {"expires_at": "yesterday"},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"secret": "x"},
    ],
)
def test_a_patch_that_does_not_fit_is_refused(edge: EdgeProcess, key: Key, body: dict[str, Any]) -> None:
    assert refused(patched(edge, f"/keys/{key.key_id}", body)) == (422, "invalid_value")


def test_a_rotated_key_has_two_secrets_until_the_overlap_ends_and_never_three(edge: EdgeProcess, key: Key) -> None:
    second = rotated(edge, key)
    assert [edge.chat(each).status_code for each in (key, second)] == [200, 200]
    shown = edge.client.get(f"/admin/keys/{key.key_id}", headers=ADMIN).json()
    overlap = datetime.fromisoformat(shown["previous_expires_at"]) - datetime.fromisoformat(shown["rotated_at"])
    assert abs(overlap - timedelta(hours=1)) < timedelta(seconds=5)
    third = rotated(edge, second)
    assert [edge.chat(each).status_code for each in (key, second, third)] == [401, 200, 200]
    fourth = rotated(edge, third, overlap="0s")
    assert [edge.chat(each).status_code for each in (second, third, fourth)] == [401, 401, 200]
    assert edge.client.get(f"/admin/keys/{key.key_id}", headers=ADMIN).json()["previous_expires_at"] is None


def test_a_rotation_repeated_under_its_idempotency_key_shows_the_same_secret(edge: EdgeProcess, key: Key) -> None:
    again = [rotated(edge, key, **{"idempotency-key": f"rotate-{key.key_id}"}) for _ in range(2)]
    assert again[0] == again[1]
    assert [edge.chat(each).status_code for each in (key, again[0])] == [200, 200]


def test_the_former_secret_ends_with_its_overlap_although_it_is_remembered(
    edge: EdgeProcess, key: Key, migrated_url: str
) -> None:
    second = rotated(edge, key, overlap="2s")
    assert edge.chat(key).status_code == 200
    until(lambda: edge.chat(key).status_code == 401)
    assert refused(edge.chat(key)) == (401, "key_expired")
    assert edge.chat(second).status_code == 200
    with psycopg.connect(migrated_url) as connection:
        over = connection.execute("SELECT previous_expires_at <= now() FROM edge.api_key WHERE key_id = %s", [key.key_id])
        assert over.fetchone() == (True,)


def test_a_revoked_key_is_not_rotated(edge: EdgeProcess, key: Key) -> None:
    edge.admin(f"/keys/{key.key_id}/revoke")
    before = edge.client.get(f"/admin/keys/{key.key_id}", headers=ADMIN).json()
    assert refused(edge.admin(f"/keys/{key.key_id}/rotate", {})) == (409, "key_revoked")
    assert edge.client.get(f"/admin/keys/{key.key_id}", headers=ADMIN).json() == before
    assert refused(edge.admin("/keys/none/rotate", {})) == (404, "key_not_found")
    assert refused(edge.admin(f"/keys/{key.key_id}/rotate", {"overlap": "1y"})) == (422, "invalid_value")


def test_a_key_expires_at_its_instant_on_every_endpoint(edge: EdgeProcess, kafka_bootstrap_servers: str) -> None:
    key = edge.new_key(expires_at="2s")
    answered = 0
    while (status := edge.chat(key).status_code) == 200:
        answered += 1
    assert status == 401
    assert answered
    for path in ("/v1/models", "/v1/balances", "/v1/runs"):
        assert refused(edge.client.get(path, headers=key.headers)) == (401, "key_expired")
    expires_at = datetime.fromisoformat(edge.client.get(f"/admin/keys/{key.key_id}", headers=ADMIN).json()["expires_at"])
    accepted = accepted_at(kafka_bootstrap_servers, key, answered)
    assert max(accepted) < expires_at
    patched(edge, f"/keys/{key.key_id}", {"expires_at": None})
    assert edge.chat(key).status_code == 200


def accepted_at(kafka: str, key: Key, count: int) -> list[datetime]:
    """When the key's calls were let in, once so many are known."""
    found: list[datetime] = []

    def arrived() -> bool:
        events = read_events(kafka, topics.REQUESTS, key.account_id)
        found[:] = [event.occurred_at for event in events if isinstance(event, RequestAccepted)]
        return len(found) >= count

    until(arrived, lambda: found)
    return found


def test_an_expiry_may_be_an_instant_in_any_zone(edge: EdgeProcess) -> None:
    key = edge.new_key(expires_at="2099-01-01T02:00:00+02:00")
    shown = edge.client.get(f"/admin/keys/{key.key_id}", headers=ADMIN).json()
    assert datetime.fromisoformat(shown["expires_at"]) == datetime(2099, 1, 1, tzinfo=UTC)


def test_a_key_is_used_only_from_its_addresses_and_events_do_not_say_from_where(
    edge: EdgeProcess, kafka_bootstrap_servers: str
) -> None:
    key = edge.new_key(allowed_ips=["192.0.2.0/24"])
    for claim in ({}, {"x-forwarded-for": "192.0.2.7"}, {"forwarded": "for=192.0.2.7"}, {"x-real-ip": "192.0.2.7"}):
        assert refused(edge.chat(key, None, **claim)) == (403, "ip_not_allowed")
    assert refused(edge.client.get("/v1/models", headers=key.headers)) == (403, "ip_not_allowed")
    patched(edge, f"/keys/{key.key_id}", {"allowed_ips": ["127.0.0.0/8", "::1"]})
    assert edge.chat(key).status_code == 200
    assert accepted_at(kafka_bootstrap_servers, key, 1)
    events = read_events(kafka_bootstrap_servers, topics.REQUESTS, key.account_id)
    assert any(isinstance(each, RequestRejected) and each.data.code == "ip_not_allowed" for each in events)
    assert not any("192.0.2" in each.to_json().decode() or "127.0.0" in each.to_json().decode() for each in events)


def test_behind_a_trusted_proxy_its_word_counts_and_the_clients_does_not(
    tmp_path: Path, migrated_url: str, kafka_bootstrap_servers: str, peers: Peers
) -> None:
    settings = {"TOLLBOOK_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8"}
    with running_edge(tmp_path / "edge.log", migrated_url, kafka_bootstrap_servers, peers.url, **settings) as edge:
        key = edge.new_key(allowed_ips=["192.0.2.0/24"])
        said = {
            "192.0.2.7": 200,
            "198.51.100.1, 192.0.2.7, 10.0.0.1": 200,
            "192.0.2.7, 198.51.100.1": 403,
            "192.0.2.7, nobody": 403,
            "": 403,
        }
        for value, status in said.items():
            assert edge.chat(key, None, **{"x-forwarded-for": value}).status_code == status, value


def test_fuzzed_keys_get_401_over_http_and_never_an_error_of_ours(edge: EdgeProcess) -> None:
    tokens = [edge.new_key().api_key for _ in range(3)]
    keys = [key for token in tokens if (key := PresentedKey.parse(token)) is not None]
    statuses: Counter[int] = Counter()
    for number, token in enumerate(fuzzed(keys, FUZZED, seed=7)):
        value = "".join(character for character in token if character >= " " and character != "\x7f").strip()
        if value in tokens:
            continue
        header = {b"x-api-key": value.encode()} if number % 2 else {b"authorization": b"Bearer " + value.encode()}
        statuses[edge.client.get("/v1/models", headers=header).status_code] += 1
    assert set(statuses) == {401}
    assert statuses[401] > FUZZED * 0.9
    assert edge.client.get("/v1/models", headers={"x-api-key": tokens[0]}).status_code == 200
