"""SIGTERM finishes what is under way and hands over what waits; a peer that is away is told as such."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.local.ports import free_port
from schemas import topics
from services.edge.api_keys import PresentedKey
from tests.integration.edge.peers import Peers, running_peers
from tests.integration.edge.processes import CHAT, EdgeProcess, Key, running_edge, until
from tests.integration.edge.topic_reader import read_events


@pytest.fixture
def edge(tmp_path: Path, migrated_url: str, kafka_bootstrap_servers: str, peers: Peers) -> Iterator[EdgeProcess]:
    """An edge that a test may end; it lingers long, so that events are sure to wait."""
    settings = {"TOLLBOOK_EDGE_LINGER_MS": "5000"}
    with running_edge(tmp_path / "log", migrated_url, kafka_bootstrap_servers, peers.url, **settings) as running:
        yield running


def test_events_that_wait_are_handed_over_before_the_end(edge: EdgeProcess, key: Key, kafka_bootstrap_servers: str) -> None:
    asked = [edge.chat(key).headers["x-request-id"] for _ in range(20)]
    assert edge.stop() == 0
    found = [str(event.request_id) for event in read_events(kafka_bootstrap_servers, topics.REQUESTS, key.account_id)]
    assert sorted(found) == sorted(asked)


def test_a_call_under_way_is_finished_before_the_end(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    peers.release.clear()
    before = len(peers.calls)
    replies: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: replies.append(edge.chat(key, CHAT | {"model": "held"})))
    thread.start()
    until(lambda: len(peers.calls) > before)
    edge.process.terminate()
    until(lambda: refuses_connections(edge))
    peers.release.set()
    thread.join(60)
    assert replies[0].status_code == 200
    assert edge.process.wait(90) == 0


def refuses_connections(edge: EdgeProcess) -> bool:
    """Whether nobody can come in any more."""
    try:
        httpx.get(f"{edge.url}/healthz", timeout=10)
    except httpx.ConnectError:
        return True
    except httpx.TransportError:  # it came in just before the door was shut, or waits at it
        return False
    return False


def test_without_router_calls_are_refused_with_503_and_recorded(
    tmp_path: Path, migrated_url: str, kafka_bootstrap_servers: str
) -> None:
    with running_edge(tmp_path / "log", migrated_url, kafka_bootstrap_servers, f"http://127.0.0.1:{free_port()}") as alone:
        key = alone.new_key()
        reply = alone.chat(key, **{"idempotency-key": "again"})
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "router_unavailable")
        assert reply.headers["retry-after"]
        assert "nothing was sent" in reply.json()["error"]["message"]
        assert alone.chat(key, **{"idempotency-key": "again"}).status_code == 503  # refused: evaluated afresh
        for path in ("/v1/models", "/v1/balances", "/v1/requests/019a1f3c-5b7e-7c41-9d52-3f0b8e6a1c27"):
            assert alone.client.get(path, headers=key.headers).status_code == 503
        recorded = ["RequestAccepted", "RequestRejected"] * 2
        until(lambda: types(kafka_bootstrap_servers, key) == recorded, lambda: types(kafka_bootstrap_servers, key))


def types(kafka: str, key: Key) -> list[str]:
    """The types of the account's events."""
    return [event.type for event in read_events(kafka, topics.REQUESTS, key.account_id)]


def test_a_router_that_comes_back_is_used_again(tmp_path: Path, migrated_url: str, kafka_bootstrap_servers: str) -> None:
    port = free_port()
    with running_edge(tmp_path / "log", migrated_url, kafka_bootstrap_servers, f"http://127.0.0.1:{port}") as edge:
        key = edge.new_key()
        for _ in range(2):
            with running_peers(port):
                until(lambda: edge.chat(key).status_code == 200)
            until(lambda: edge.chat(key).status_code == 503)


def test_without_postgres_keys_cannot_be_proven_and_calls_are_refused_with_503(
    tmp_path: Path, kafka_bootstrap_servers: str, peers: Peers
) -> None:
    away = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    settings = {"wait": "/healthz", "DATABASE_URL": away}
    with running_edge(tmp_path / "log", away, kafka_bootstrap_servers, peers.url, **settings) as edge:
        token = "sk-tb-Q7mZk2XvB9tL-" + "a" * 43
        assert edge.client.get("/v1/models", headers={"x-api-key": token}).status_code == 401  # a typo needs no store
        key = Key(PresentedKey.mint().token(), "", "", "")
        assert edge.chat(key).status_code == 503
        assert edge.admin("/accounts", {"name": "a"}).status_code == 503
        assert edge.client.get("/readyz").json()["ready"] is False
