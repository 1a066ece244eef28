"""Kafka goes and comes back: no event is lost, clients hardly notice, and nothing grows without bound."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas import topics
from tests.integration.edge.broker import OwnBroker, own_broker
from tests.integration.edge.peers import Peers
from tests.integration.edge.processes import EdgeProcess, Key, running_edge, until
from tests.integration.edge.topic_reader import read_events, read_topic


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnBroker]:
    """A broker that this module may kill."""
    with own_broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def edge(tmp_path: Path, migrated_url: str, broker: OwnBroker, peers: Peers) -> Iterator[EdgeProcess]:
    """An edge on the module's broker."""
    settings = {"TOLLBOOK_EDGE_MAX_UNPUBLISHED": "100"}
    with running_edge(tmp_path / "log", migrated_url, broker.bootstrap_servers, peers.url, **settings) as running:
        yield running


def request_ids(broker: OwnBroker, key: Key) -> set[str]:
    """Requests of the key's account that Kafka has."""
    return {str(event.request_id) for event in read_events(broker.bootstrap_servers, topics.REQUESTS, key.account_id)}


def by_ingress(peers: Peers, key: Key) -> list[str]:
    """Events of the key's account that settlement's ingress has."""
    return [event.value for event in peers.ingress if event.key == key.account_id]


def ask(edge: EdgeProcess, key: Key, times: int) -> set[str]:
    """So many good calls; the ids that they got."""
    replies = [edge.chat(key) for _ in range(times)]
    assert [reply.status_code for reply in replies] == [200] * times
    return {reply.headers["x-request-id"] for reply in replies}


def test_events_take_the_ingress_while_kafka_is_away_and_kafka_when_it_is_back(
    edge: EdgeProcess, key: Key, broker: OwnBroker, peers: Peers
) -> None:
    before = ask(edge, key, 5)
    until(lambda: before <= request_ids(broker, key))
    broker.kill()
    during = ask(edge, key, 20)
    until(lambda: len(by_ingress(peers, key)) >= 20, lambda: by_ingress(peers, key))
    assert all(any(request_id in value for value in by_ingress(peers, key)) for request_id in during)
    started_s = time.monotonic()
    during |= ask(edge, key, 5)
    assert time.monotonic() - started_s < 10  # known to be away: nobody waits for it
    broker.start()

    def in_kafka_again() -> bool:
        return bool(ask(edge, key, 1) & request_ids(broker, key))

    until(in_kafka_again, timeout_s=90)
    after = ask(edge, key, 5)
    until(lambda: before | after <= request_ids(broker, key))
    known = request_ids(broker, key) | {
        request_id for request_id in during if any(request_id in value for value in by_ingress(peers, key))
    }
    assert before | during | after <= known


def test_no_call_is_let_in_when_neither_kafka_nor_the_ingress_takes_events(
    edge: EdgeProcess, key: Key, broker: OwnBroker, peers: Peers
) -> None:
    assert edge.chat(key).status_code == 200
    broker.kill()
    peers.ingress_open = False
    asked: list[str] = []

    def refused() -> bool:
        reply = edge.chat(key)
        if reply.status_code == 200:
            asked.append(reply.headers["x-request-id"])
            return False
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "log_unavailable")
        assert reply.headers["retry-after"]
        return True

    until(refused, timeout_s=90)
    assert len(asked) < 700  # the bound of what waits, and one round that is under way
    peers.ingress_open = True
    until(
        lambda: all(any(one in value for value in by_ingress(peers, key)) for one in asked), lambda: len(by_ingress(peers, key))
    )
    until(lambda: edge.chat(key).status_code == 200)
    broker.start()


def test_a_freeze_while_kafka_is_away_counts_here_at_once_and_is_published_later(
    edge: EdgeProcess, key: Key, broker: OwnBroker
) -> None:
    assert edge.chat(key).status_code == 200
    broker.kill()
    assert edge.admin(f"/keys/{key.key_id}/freeze").status_code == 200
    assert edge.chat(key).status_code == 403
    broker.start()
    until(
        lambda: any(
            record.key == f"key/{key.key_id}".encode() for record in read_topic(broker.bootstrap_servers, topics.CONTROL)
        ),
        timeout_s=90,
    )


def test_an_edge_that_starts_without_kafka_waits_for_it_and_serves_then(
    tmp_path: Path, migrated_url: str, broker: OwnBroker, peers: Peers
) -> None:
    broker.kill()
    with running_edge(tmp_path / "log", migrated_url, broker.bootstrap_servers, peers.url, wait="/healthz") as late:
        reply = late.client.get("/readyz")
        assert (reply.status_code, reply.json()["ready"]) == (503, False)
        broker.start()
        until(lambda: late.client.get("/readyz").status_code == 200, lambda: late.log.read_text("utf-8"), timeout_s=90)
        assert late.chat(late.new_key()).status_code == 200
