"""Calls through the edge to router and back, and what is recorded of them."""

import json
import random
import socket
from urllib.parse import urlsplit

import httpx
import openai
import pytest

from schemas import topics
from schemas.envelope import Event
from schemas.requests import RequestAccepted, RequestRejected
from tests.integration.edge.peers import CHUNKS, COMPLETION, DONE, Peers
from tests.integration.edge.processes import CHAT, EDGE_TOKEN, EdgeProcess, Key, until
from tests.integration.edge.topic_reader import read_events


def events_of(kafka: str, key: Key, count: int) -> list[Event]:
    """The account's events, once there are so many."""
    found: list[Event] = []

    def arrived() -> bool:
        found[:] = read_events(kafka, topics.REQUESTS, key.account_id)
        return len(found) >= count

    until(arrived, lambda: found)
    return found


def rejection(kafka: str, key: Key) -> RequestRejected:
    """The one event of an account whose only call was refused by edge."""
    (event,) = events_of(kafka, key, 1)
    assert isinstance(event, RequestRejected)
    return event


def test_a_plain_reply_passes_unchanged(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    reply = edge.chat(key)
    assert (reply.status_code, reply.json()) == (200, COMPLETION)
    assert reply.headers["x-tollbook-channel"] == "openai-main"
    assert "server" not in reply.headers
    assert reply.headers["x-request-id"] == str(peers.calls[-1].context.request_id)


def test_router_gets_the_clients_bytes_and_who_asked(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    body = b'{ "model" : "gpt-4o",\n"messages":[{"role":"user","content":"\xc3\xa4"}], "unknown": 1.50 }'
    headers = {"x-tollbook-tags": "feature=search", "x-request-id": "order-1", "x-other": "no"}
    edge.chat(key, body, **headers)
    received = peers.calls[-1]
    assert received.body == body
    assert received.headers["authorization"] == f"Bearer {EDGE_TOKEN}"
    assert "x-other" not in received.headers
    context = received.context
    assert (context.account_id, context.key.project_id, context.key.key_id) == (key.account_id, key.project_id, key.key_id)
    assert (context.tags, context.run_id, context.client_request_id) == ({"feature": "search"}, None, "order-1")
    assert context.policy.allows_model("anything")


def test_an_accepted_call_is_recorded_once(edge: EdgeProcess, key: Key, kafka_bootstrap_servers: str) -> None:
    reply = edge.chat(key, **{"x-tollbook-tags": "feature=search"})
    (event,) = events_of(kafka_bootstrap_servers, key, 1)
    assert isinstance(event, RequestAccepted)
    assert str(event.request_id) == reply.headers["x-request-id"]
    assert (event.data.requested_model, event.data.stream, event.tags) == ("gpt-4o", False, {"feature": "search"})


def test_a_stream_passes_chunk_by_chunk_as_it_comes(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    peers.release.clear()
    with edge.client.stream(
        "POST", "/v1/chat/completions", json=CHAT | {"model": "held-stream", "stream": True}, headers=key.headers
    ) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        incoming = reply.iter_raw()
        assert next(incoming) == CHUNKS[0]  # router has sent no more than this
        peers.release.set()
        assert b"".join(incoming) == b"".join([*CHUNKS[1:], DONE])


@pytest.mark.parametrize("model", ["held", "held-stream"])
def test_a_client_that_leaves_closes_the_call_to_router_at_once(edge: EdgeProcess, key: Key, peers: Peers, model: str) -> None:
    peers.release.clear()
    peers.closed.clear()
    before = len(peers.calls)
    address = urlsplit(edge.url)
    body = httpx.Request("POST", edge.url, json=CHAT | {"model": model, "stream": model == "held-stream"}).content
    with socket.create_connection((address.hostname, address.port)) as client:
        head = [b"POST /v1/chat/completions HTTP/1.1", b"host: x", f"x-api-key: {key.api_key}".encode()]
        head += [b"content-length: %d" % len(body), b"", b""]
        client.sendall(b"\r\n".join(head) + body)
        until(lambda: len(peers.calls) > before)
        if model == "held-stream":
            assert client.recv(1)
    assert peers.closed.wait(60)
    peers.release.set()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        ({"messages": [{}]}, 400, "invalid_value"),
        ({"model": 7, "messages": [{}]}, 400, "invalid_value"),
        ({"model": "gpt-4o", "messages": "hi"}, 400, "invalid_value"),
        ({"model": "gpt-4o", "messages": []}, 400, "invalid_value"),
        (CHAT | {"stream": "yes"}, 400, "invalid_value"),
        (b'{"model":"gpt-4o","messages":[{"content":"' + b"x" * 70_000 + b'"}]}', 413, "request_too_large"),
    ],
)
def test_a_call_that_edge_refuses_gets_a_proper_error_and_is_recorded(
    *, edge: EdgeProcess, key: Key, peers: Peers, kafka_bootstrap_servers: str, body: object, status: int, code: str
) -> None:
    before = len(peers.calls)
    reply = edge.chat(key, body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    event = rejection(kafka_bootstrap_servers, key)
    assert (event.data.http_status, event.data.code, str(event.request_id)) == (status, code, reply.headers["x-request-id"])
    assert len(peers.calls) == before


def test_a_chunked_body_has_the_same_limit(edge: EdgeProcess, key: Key) -> None:
    pieces = (b"x" * 10_000 for _ in range(30))
    reply = edge.client.post("/v1/chat/completions", content=pieces, headers=key.headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "request_too_large")


def test_a_chunked_body_within_the_limit_is_passed_on(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]}'
    reply = edge.client.post(
        "/v1/chat/completions", content=(body[at : at + 7] for at in range(0, len(body), 7)), headers=key.headers
    )
    assert reply.status_code == 200
    assert peers.calls[-1].body == body


def strange_body(chance: random.Random) -> bytes:
    """Something between a good request and noise."""
    parts: list[object] = [
        None,
        True,
        0,
        -1,
        1e308,
        "",
        "x",
        "gpt-4o",
        "\x00",
        "\U0001f600",
        [],
        {},
        [{}],
        [[]],
        {"role": "user"},
        [1, "a"],
    ]
    names = ["model", "messages", "stream", "n", "tools", "max_tokens", "", "stream_options"]
    payload = {name: chance.choice(parts) for name in chance.sample(names, chance.randrange(len(names)))}
    raw = bytearray(json.dumps(chance.choice([payload, CHAT | payload, [payload], chance.choice(parts)])).encode())
    if chance.random() < 0.5 and raw:
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    return bytes(raw)


def test_no_body_and_no_header_makes_the_edge_stumble(edge: EdgeProcess, key: Key) -> None:
    chance = random.Random(4711)
    names = ["x-tollbook-tags", "x-tollbook-run", "x-request-id", "traceparent", "content-type", "accept", "idempotency-key"]
    for _ in range(300):
        headers = {name: chance.randbytes(chance.randrange(12)).hex() for name in chance.sample(names, 2)}
        reply = edge.chat(key, strange_body(chance), **headers)
        assert reply.status_code in {200, 400, 403, 404, 409, 413}, (reply.status_code, reply.text)


def test_wrong_labels_are_refused_and_recorded(edge: EdgeProcess, key: Key, kafka_bootstrap_servers: str) -> None:
    reply = edge.chat(key, **{"x-tollbook-tags": "feature"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "x-tollbook-tags")
    assert rejection(kafka_bootstrap_servers, key).data.code == "invalid_header"


@pytest.mark.parametrize(
    ("model", "status", "code"), [("unknown", 404, "model_not_found"), ("broke", 402, "insufficient_balance")]
)
def test_a_call_that_router_refuses_is_recorded_as_rejected(
    *, edge: EdgeProcess, key: Key, kafka_bootstrap_servers: str, model: str, status: int, code: str
) -> None:
    reply = edge.chat(key, CHAT | {"model": model})
    assert (reply.status_code, reply.json()["error"]["message"]) == (status, f"scripted {code}")
    assert "x-tollbook-rejected" not in reply.headers
    accepted, rejected = events_of(kafka_bootstrap_servers, key, 2)
    assert isinstance(accepted, RequestAccepted)
    assert isinstance(rejected, RequestRejected)
    assert (rejected.data.http_status, rejected.data.code, rejected.data.message) == (status, code, f"scripted {code}")
    assert accepted.request_id == rejected.request_id


def test_a_failure_after_an_upstream_call_is_no_rejection(edge: EdgeProcess, key: Key, kafka_bootstrap_servers: str) -> None:
    assert edge.chat(key, CHAT | {"model": "fails"}).status_code == 502
    edge.chat(key)
    assert [event.type for event in events_of(kafka_bootstrap_servers, key, 2)] == ["RequestAccepted", "RequestAccepted"]


def test_a_stream_that_router_breaks_off_ends_with_an_error_event(edge: EdgeProcess, key: Key) -> None:
    with pytest.raises(openai.APIError, match="broke off"):
        list(official(edge, key).chat.completions.create(model="cut", messages=[{"role": "user", "content": "x"}], stream=True))


def test_a_model_outside_the_policy_is_forbidden_and_recorded(edge: EdgeProcess, kafka_bootstrap_servers: str) -> None:
    bound = edge.new_key(policy={"models": ["gpt-4o-mini"]})
    reply = edge.chat(bound)
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "model_not_allowed")
    assert rejection(kafka_bootstrap_servers, bound).data.requested_model == "gpt-4o"


def official(edge: EdgeProcess, key: Key) -> openai.OpenAI:
    """The official client, unchanged but for the address and the key."""
    return openai.OpenAI(base_url=f"{edge.url}/v1", api_key=key.api_key, max_retries=0)


def test_the_official_client_works_and_raises_its_own_errors(edge: EdgeProcess, key: Key) -> None:
    with official(edge, key) as client:
        reply = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x"}])
        assert reply.choices[0].message.content == "hi"
        assert reply._request_id is not None
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="unknown", messages=[{"role": "user", "content": "x"}])
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="", messages=[{"role": "user", "content": "x"}])
        assert [model.id for model in client.models.list()] == ["gpt-4o", "org/tiny"]
    with official(edge, Key("sk-wrong", "", "", "")) as stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def test_a_refusal_that_only_a_decision_lifts_is_not_to_be_tried_again(edge: EdgeProcess, key: Key) -> None:
    reply = edge.chat(key, CHAT | {"model": "frozen"})
    assert (reply.status_code, reply.headers["x-should-retry"]) == (403, "false")
