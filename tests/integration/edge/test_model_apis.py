"""`/v1/responses` and `/v1/embeddings`: the same admission as chat completions, each at router's own endpoint."""

import json
from typing import Any

import pytest

from tests.integration.edge.peers import Peers
from tests.integration.edge.processes import EdgeProcess, Key

ASKED: dict[str, Any] = {"model": "gpt-4o", "input": "hi"}
APIS = pytest.mark.parametrize("api", ["responses", "embeddings"])


@APIS
def test_a_call_goes_to_routers_own_endpoint(edge: EdgeProcess, key: Key, peers: Peers, api: str) -> None:
    reply = edge.client.post(f"/v1/{api}", json=ASKED, headers=key.headers)
    assert reply.status_code == 200
    assert (peers.calls[-1].path, json.loads(peers.calls[-1].body)) == (f"/internal/v1/{api}", ASKED)


@APIS
@pytest.mark.parametrize("body", [{"model": "gpt-4o"}, {**ASKED, "input": []}, {"model": "gpt-4o", "messages": [{}]}])
def test_a_call_that_asks_nothing_is_refused_by_name(edge: EdgeProcess, key: Key, api: str, body: dict[str, Any]) -> None:
    reply = edge.client.post(f"/v1/{api}", json=body, headers=key.headers)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "input")


@APIS
def test_an_idempotency_key_belongs_to_one_api(edge: EdgeProcess, key: Key, api: str) -> None:
    headers = {**key.headers, "idempotency-key": f"r-{api}"}
    first = edge.client.post(f"/v1/{api}", json=ASKED, headers=headers)
    again = edge.client.post(f"/v1/{api}", json=ASKED, headers=headers)
    assert (again.content, again.headers["x-tollbook-replayed"]) == (first.content, "true")
    other = edge.client.post("/v1/embeddings" if api == "responses" else "/v1/responses", json=ASKED, headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_conflict")


def test_a_stream_that_router_does_not_end_ends_with_an_error_event_that_clients_raise(edge: EdgeProcess, key: Key) -> None:
    asked = {**ASKED, "model": "cut", "stream": True}
    text = edge.client.post("/v1/responses", json=asked, headers=key.headers).text
    name, data = text.strip().split("\n\n")[-1].split("\n")
    event = json.loads(data.removeprefix("data: "))
    assert (name, event["type"], event["code"]) == ("event: error", "error", "reply_interrupted")
    assert event["error"]["code"] == "reply_interrupted"
