"""An idempotency key binds one accepted request of its API key."""

import threading
from http.client import HTTPConnection

import httpx
import psycopg
import pytest

from schemas import topics
from tests.integration.edge.peers import Peers
from tests.integration.edge.processes import CHAT, EdgeProcess, Key, until
from tests.integration.edge.topic_reader import read_events

ONCE = {"idempotency-key": "order-4711"}


def code(reply: httpx.Response) -> str:
    """The code of an error."""
    found: str = reply.json()["error"]["code"]
    return found


def test_a_plain_request_asked_again_gets_the_same_reply_and_is_not_done_again(
    edge: EdgeProcess, key: Key, peers: Peers, kafka_bootstrap_servers: str
) -> None:
    first = edge.chat(key, **ONCE)
    before = len(peers.calls)
    second = edge.chat(key, **ONCE)
    assert (second.status_code, second.content) == (200, first.content)
    assert second.headers["x-tollbook-replayed"] == "true"
    assert "x-tollbook-replayed" not in first.headers
    for name in ("x-request-id", "content-type", "x-tollbook-channel"):
        assert second.headers.get(name) == first.headers.get(name)
    assert len(peers.calls) == before
    other = edge.chat(edge.new_key(), **ONCE)
    assert other.headers["x-request-id"] != first.headers["x-request-id"]

    def recorded() -> list[str]:
        return [event.type for event in read_events(kafka_bootstrap_servers, topics.REQUESTS, key.account_id)]

    until(lambda: recorded() == ["RequestAccepted"], recorded)


def test_a_reply_is_stored_sealed(edge: EdgeProcess, key: Key, migrated_url: str) -> None:
    reply = edge.chat(key, **ONCE)
    with psycopg.connect(migrated_url) as connection:
        row = connection.execute("SELECT reply FROM edge.claim WHERE key_id = %s", [key.key_id]).fetchone()
    assert row is not None
    assert reply.json()["choices"][0]["message"]["content"].encode() not in row[0]


@pytest.mark.parametrize("how", ["stream", "policy"])
def test_a_done_request_whose_reply_is_not_kept_is_not_done_again_and_its_receipt_is_named(
    edge: EdgeProcess, key: Key, peers: Peers, how: str
) -> None:
    if how == "policy":
        key = edge.new_key(policy={"store_replies": False})
    body = CHAT | {"stream": True} if how == "stream" else CHAT
    first = edge.chat(key, body, **ONCE)
    before = len(peers.calls)
    second = edge.chat(key, body, **ONCE)
    assert (second.status_code, code(second)) == (409, "already_done")
    assert second.headers["x-should-retry"] == "false"
    assert second.headers["x-tollbook-receipt"] == f"/v1/requests/{first.headers['x-request-id']}"
    assert len(peers.calls) == before


def test_another_body_under_the_same_key_conflicts(edge: EdgeProcess, key: Key) -> None:
    edge.chat(key, **ONCE)
    reply = edge.chat(key, CHAT | {"temperature": 1}, **ONCE)
    assert (reply.status_code, code(reply), reply.headers["x-should-retry"]) == (409, "idempotency_conflict", "false")


def test_the_same_key_of_another_api_key_is_another_request(edge: EdgeProcess, key: Key) -> None:
    assert edge.chat(key, **ONCE).status_code == 200
    assert edge.chat(edge.new_key(), **ONCE).status_code == 200


def test_a_request_under_way_is_in_progress(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    peers.release.clear()
    before = len(peers.calls)
    held = CHAT | {"model": "held"}
    first: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: first.append(edge.chat(key, held, **ONCE)))
    thread.start()
    until(lambda: len(peers.calls) > before)
    second = edge.chat(key, held, **ONCE)
    assert (second.status_code, code(second)) == (409, "in_progress")
    assert (second.headers["x-should-retry"], second.headers["retry-after"]) == ("true", "2")
    peers.release.set()
    thread.join(60)
    assert first[0].status_code == 200


def leave_behind(edge: EdgeProcess, key: Key, peers: Peers, body: dict[str, object]) -> None:
    """Send a request to router, and leave while it is under way."""
    before = len(peers.calls)
    address = httpx.URL(edge.url)
    connection = HTTPConnection(address.host, address.port, timeout=60)
    sent = {"content-type": "application/json"} | key.headers | ONCE
    connection.request("POST", "/v1/chat/completions", body=httpx.Request("POST", edge.url, json=body).content, headers=sent)
    until(lambda: len(peers.calls) > before)
    connection.close()


def test_a_client_that_left_gets_the_reply_that_was_paid_for_when_it_asks_again(
    edge: EdgeProcess, key: Key, peers: Peers
) -> None:
    peers.release.clear()
    held = CHAT | {"user": "held"}
    leave_behind(edge, key, peers, held)
    before = len(peers.calls)
    assert code(edge.client.post("/v1/chat/completions", json=held, headers=key.headers | ONCE)) == "in_progress"
    peers.release.set()

    def again() -> httpx.Response:
        return edge.client.post("/v1/chat/completions", json=held, headers=key.headers | ONCE)

    until(lambda: again().status_code != 409)
    reply = again()
    assert (reply.status_code, reply.headers["x-tollbook-replayed"]) == (200, "true")
    assert reply.json()["choices"][0]["message"]["content"] == "hi"
    assert len(peers.calls) == before


@pytest.mark.parametrize("why", ["a channel cancels", "nothing is kept"])
def test_a_client_that_left_ends_a_call_whose_reply_nobody_will_get(
    edge: EdgeProcess, key: Key, peers: Peers, why: str
) -> None:
    peers.release.clear()
    peers.closed.clear()
    if why == "nothing is kept":
        key = edge.new_key(policy={"store_replies": False})
    leave_behind(edge, key, peers, CHAT | {"user": "held", "model": "org/tiny" if why == "a channel cancels" else "gpt-4o"})
    assert peers.closed.wait(60)
    peers.release.set()


def test_a_refused_request_is_evaluated_afresh(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    for model, status in (("broke", 402), ("unknown", 404), ("fails", 502)):
        before = len(peers.calls)
        again = [edge.chat(key, CHAT | {"model": model}, **ONCE).status_code for _ in range(2)]
        assert (again, len(peers.calls) - before) == ([status, status], 2)
    assert edge.chat(key, **ONCE).status_code == 200


def test_a_request_whose_outcome_is_not_settled_stays_bound(edge: EdgeProcess, key: Key) -> None:
    assert edge.chat(key, CHAT | {"model": "unlogged"}, **ONCE).status_code == 503
    assert code(edge.chat(key, CHAT | {"model": "unlogged"}, **ONCE)) == "already_done"


def test_a_failure_that_was_charged_is_not_charged_again(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    first = edge.chat(key, CHAT | {"model": "charged"}, **ONCE)
    assert (first.status_code, first.headers["x-should-retry"]) == (502, "false")
    before = len(peers.calls)
    again = edge.chat(key, CHAT | {"model": "charged"}, **ONCE)
    assert (code(again), again.headers["x-should-retry"]) == ("already_done", "false")
    assert len(peers.calls) == before
    assert "x-should-retry" not in edge.chat(key, CHAT | {"model": "charged"}).headers


@pytest.mark.parametrize("keyed", [True, False])
def test_a_request_whose_router_was_lost_may_have_been_carried_out_and_hears_so(
    edge: EdgeProcess, key: Key, peers: Peers, keyed: bool
) -> None:
    lost = CHAT | {"model": "lost"}
    reply = edge.chat(key, lost, **(ONCE if keyed else {}))
    receipt = f"/v1/requests/{reply.headers['x-request-id']}"
    assert (reply.status_code, code(reply)) == (503, "outcome_unknown")
    assert "may have been carried out" in reply.json()["error"]["message"]
    assert reply.headers["x-tollbook-receipt"] == receipt
    assert reply.headers.get("x-should-retry") == ("false" if keyed else None)
    assert reply.headers.get("retry-after") == (None if keyed else "1")


@pytest.mark.parametrize(
    ("status", "said"), [(None, "is not settled yet"), ("pending", "is not settled yet"), ("expired", "was made before")]
)
def test_the_same_request_hears_whether_the_first_is_settled(
    edge: EdgeProcess, key: Key, peers: Peers, status: str | None, said: str
) -> None:
    lost = CHAT | {"model": "lost"}
    request_id = edge.chat(key, lost, **ONCE).headers["x-request-id"]
    if status is not None:
        peers.receipts[key.account_id, request_id] = {"object": "receipt", "status": status}
    before = len(peers.calls)
    again = edge.chat(key, lost, **ONCE)
    assert (again.status_code, code(again), again.headers["x-should-retry"]) == (409, "already_done", "false")
    assert said in again.json()["error"]["message"]
    assert again.headers["x-tollbook-receipt"] == f"/v1/requests/{request_id}"
    assert len(peers.calls) == before


def test_of_many_at_once_one_is_done(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    before = len(peers.calls)
    statuses: list[int] = []

    def ask() -> None:
        with httpx.Client(base_url=edge.url, timeout=60) as client:
            statuses.append(client.post("/v1/chat/completions", json=CHAT, headers=key.headers | ONCE).status_code)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(statuses) <= {200, 409}
    assert 200 in statuses
    assert len(peers.calls) - before == 1


def test_a_conflict_is_recorded_as_a_rejection(edge: EdgeProcess, key: Key, kafka_bootstrap_servers: str) -> None:
    edge.chat(key, **ONCE)
    edge.chat(key, CHAT | {"temperature": 1}, **ONCE)

    def recorded() -> list[str]:
        return [event.type for event in read_events(kafka_bootstrap_servers, topics.REQUESTS, key.account_id)]

    until(lambda: recorded() == ["RequestAccepted", "RequestRejected"], recorded)


def test_a_stored_reply_is_not_given_again_once_a_policy_keeps_none(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    first = edge.chat(key, **ONCE)
    before = len(peers.calls)
    edge.admin(f"/projects/{key.project_id}/policy", {"policy": {"store_replies": False}})
    second = edge.chat(key, **ONCE)
    assert (second.status_code, code(second)) == (409, "already_done")
    assert second.headers["x-tollbook-receipt"] == f"/v1/requests/{first.headers['x-request-id']}"
    assert len(peers.calls) == before
    edge.admin(f"/projects/{key.project_id}/policy", {"policy": None})
    assert edge.chat(key, **ONCE).content == first.content
