"""`/v1/messages`: the same admission as chat completions, errors in Anthropic's shape."""

import json
from typing import Any

import httpx
import pytest

from tests.integration.edge.peers import Peers
from tests.integration.edge.processes import CHAT, EdgeProcess, Key

ASKED: dict[str, Any] = {**CHAT, "max_tokens": 10}


def ask(edge: EdgeProcess, key: str, body: Any = None, **headers: str) -> httpx.Response:
    """A message, with the key where Anthropic's clients put it."""
    return edge.client.post("/v1/messages", json=body or ASKED, headers={"x-api-key": key, "anthropic-version": "x", **headers})


def test_a_message_goes_to_routers_own_endpoint(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    reply = ask(edge, key.api_key)
    assert reply.status_code == 200
    assert json.loads(peers.calls[-1].body) == ASKED
    assert peers.calls[-1].context.key.key_id == key.key_id


@pytest.mark.parametrize(
    ("body", "status", "kind", "param"),
    [
        ({**ASKED, "model": "broke"}, 402, "billing_error", None),
        ({**ASKED, "model": "unknown"}, 404, "not_found_error", None),
        ({**ASKED, "model": "fails"}, 502, "api_error", None),
        ({**ASKED, "messages": "hi"}, 400, "invalid_request_error", "messages"),
    ],
)
def test_errors_of_router_and_of_edge_have_anthropics_shape(  # noqa: PLR0917 - one column per part of the case
    edge: EdgeProcess, key: Key, body: dict[str, Any], status: int, kind: str, param: str | None
) -> None:
    reply = ask(edge, key.api_key, body)
    document = reply.json()
    assert reply.status_code == status
    assert (document["type"], document["error"]["type"]) == ("error", kind)
    assert document["error"]["message"]
    assert document["error"]["param"] == param
    assert document["request_id"] == reply.headers["x-request-id"]


def test_a_bad_key_is_an_authentication_error(edge: EdgeProcess) -> None:
    reply = ask(edge, "sk-tb-nobody")
    assert (reply.status_code, reply.json()["error"]["type"]) == (401, "authentication_error")


def test_a_stream_that_router_does_not_end_ends_with_an_error_event(edge: EdgeProcess, key: Key) -> None:
    text = ask(edge, key.api_key, {**ASKED, "model": "cut", "stream": True}).text
    name, data = text.strip().split("\n\n")[-1].split("\n")
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: "))["error"]["code"] == "reply_interrupted"


def test_an_idempotency_key_belongs_to_one_api(edge: EdgeProcess, key: Key) -> None:
    assert edge.chat(key, ASKED, **{"idempotency-key": "m-2"}).status_code == 200
    other = ask(edge, key.api_key, **{"idempotency-key": "m-2"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_conflict")


def test_an_idempotency_key_replays_a_message(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    first = ask(edge, key.api_key, **{"idempotency-key": "m-1"})
    before = len(peers.calls)
    second = ask(edge, key.api_key, **{"idempotency-key": "m-1"})
    assert (second.content, len(peers.calls)) == (first.content, before)
