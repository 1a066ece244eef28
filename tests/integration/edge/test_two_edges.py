"""Two edges over one Postgres and one Kafka: what one is told the other obeys, and neither needs the other."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.edge.peers import Peers
from tests.integration.edge.processes import ADMIN, CHAT, EdgeProcess, Key, running_edge, until

OBEYED_S = 25.0
"""Long enough for a machine that stalls, and still before a copy in memory would have aged (30 s)."""


@pytest.fixture(scope="module")
def other(
    tmp_path_factory: pytest.TempPathFactory, migrated_url: str, kafka_bootstrap_servers: str, peers: Peers
) -> Iterator[EdgeProcess]:
    """A second edge."""
    log = tmp_path_factory.mktemp("other") / "edge.log"
    with running_edge(log, migrated_url, kafka_bootstrap_servers, peers.url) as running:
        yield running


@pytest.mark.parametrize("kind", ["account", "project", "key"])
def test_a_freeze_by_one_edge_stops_the_other(edge: EdgeProcess, other: EdgeProcess, key: Key, kind: str) -> None:
    entity = getattr(key, f"{kind}_id")
    assert other.chat(key).status_code == 200
    edge.admin(f"/{kind}s/{entity}/freeze")
    until(lambda: other.chat(key).status_code == 403, timeout_s=OBEYED_S)
    edge.admin(f"/{kind}s/{entity}/unfreeze")
    until(lambda: other.chat(key).status_code == 200, timeout_s=OBEYED_S)


def test_a_revocation_by_one_edge_stops_the_other(edge: EdgeProcess, other: EdgeProcess, key: Key) -> None:
    assert other.chat(key).status_code == 200
    edge.admin(f"/keys/{key.key_id}/revoke")
    until(lambda: other.chat(key).status_code == 401, timeout_s=OBEYED_S)


def test_an_idempotency_key_counts_on_every_edge(edge: EdgeProcess, other: EdgeProcess, key: Key) -> None:
    once = {"idempotency-key": "one"}
    first, second = (one.chat(key, **once) for one in (edge, other))
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.headers["x-request-id"] == first.headers["x-request-id"]
    assert second.headers["x-tollbook-replayed"] == "true"
    assert edge.chat(key, CHAT | {"stream": True}, **once).status_code == 409


def test_an_older_pepper_still_opens_and_the_newest_signs(
    *, tmp_path: Path, edge: EdgeProcess, key: Key, migrated_url: str, kafka_bootstrap_servers: str, peers: Peers
) -> None:
    both = '{"1": "00112233445566778899aabbccddeeff", "2": "ffeeddccbbaa99887766554433221100"}'
    settings = {"TOLLBOOK_KEY_PEPPERS": both}
    with running_edge(tmp_path / "log", migrated_url, kafka_bootstrap_servers, peers.url, **settings) as newer:
        assert newer.chat(key).status_code == 200
        made = newer.new_key()
        assert newer.chat(made).status_code == 200
    assert edge.chat(made).status_code == 401


def test_a_rotation_at_one_edge_ends_the_oldest_secret_and_brings_the_new_one_at_the_other(
    edge: EdgeProcess, other: EdgeProcess, key: Key
) -> None:
    assert other.chat(key).status_code == 200
    second = edge.admin(f"/keys/{key.key_id}/rotate", {}).json()["api_key"]
    newer = replace(key, api_key=second)
    until(lambda: other.chat(newer).status_code == 200, timeout_s=OBEYED_S)
    assert other.chat(key).status_code == 200
    edge.admin(f"/keys/{key.key_id}/rotate", {})
    until(lambda: other.chat(key).status_code == 401, timeout_s=OBEYED_S)
    assert other.chat(newer).status_code == 200
    edge.admin(f"/keys/{key.key_id}/rotate", {"overlap": "0s"})
    until(lambda: other.chat(newer).status_code == 401, timeout_s=OBEYED_S)


@pytest.mark.parametrize(
    ("path", "change", "status"),
    [
        ("keys", {"allowed_ips": ["192.0.2.0/24"]}, 403),
        ("keys", {"requests_per_minute": 1}, 429),
        ("projects", {"requests_per_minute": 1}, 429),
        ("accounts", {"tokens_per_minute": 1}, 429),
        ("keys", {"expires_at": "1s"}, 401),
    ],
)
def test_a_change_at_one_edge_is_obeyed_by_the_other(
    *, edge: EdgeProcess, other: EdgeProcess, key: Key, path: str, change: dict[str, object], status: int
) -> None:
    assert other.chat(key).status_code == 200
    entity = {"keys": key.key_id, "projects": key.project_id, "accounts": key.account_id}[path]
    edge.client.patch(f"/admin/{path}/{entity}", json=change, headers=ADMIN).raise_for_status()
    until(lambda: other.chat(key).status_code == status, timeout_s=OBEYED_S)
