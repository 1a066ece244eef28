"""`POST /v1/estimate`: models become the places that may answer them under the caller's policy; settlement prices those."""

from typing import Any

import httpx
import pytest

from tests.integration.edge.peers import Peers
from tests.integration.edge.processes import EdgeProcess, Key

ITEM: dict[str, Any] = {"model": "gpt-4o", "requests": 200, "input_tokens": 1500, "output_tokens": {"low": 200, "high": 800}}


def estimate(edge: EdgeProcess, key: Key, body: Any) -> httpx.Response:
    """A client's question."""
    return edge.client.post("/v1/estimate", json=body, headers=key.headers)


def test_settlement_is_asked_with_everything_that_may_answer(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    reply = estimate(edge, key, {"items": [ITEM | {"cached_share": 0.25}, {**ITEM, "model": "org/tiny", "requests": 1}]})
    assert (reply.status_code, reply.json()["object"]) == (200, "estimate")
    asked = peers.runs.estimates[-1]
    first, second = asked.items
    assert (asked.key.key_id, asked.run_id) == (key.key_id, None)
    assert (first.requests, first.cached_share, second.model) == (200, 0.25, "org/tiny")
    assert (first.input_tokens.low, first.input_tokens.high) == (1500, 1500)
    assert (first.output_tokens.low, first.output_tokens.high) == (200, 800)
    assert [(each.route_type, each.model) for each in first.candidates] == [("direct", "gpt-4o")]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "items"),
        ({"items": []}, "items"),
        ({"items": [ITEM], "run": "r"}, "run"),
        ({"items": [{"model": "gpt-4o", "output_tokens": 1}]}, "items.0.input_tokens"),
        ({"items": [ITEM | {"input_tokens": -1}]}, "items.0.input_tokens.low"),
        ({"items": [ITEM | {"input_tokens": "many"}]}, "items.0.input_tokens"),
        ({"items": [ITEM | {"input_tokens": {"low": 2, "high": 1}}]}, "items.0.input_tokens"),
        ({"items": [ITEM, ITEM | {"requests": 0}]}, "items.1.requests"),
        ({"items": [ITEM | {"cached_share": 1.5}]}, "items.0.cached_share"),
        ({"items": [ITEM | {"model": 4}]}, "items.0.model"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name(edge: EdgeProcess, key: Key, body: dict[str, Any], param: str) -> None:
    reply = estimate(edge, key, body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_an_unknown_model_is_not_found(edge: EdgeProcess, key: Key) -> None:
    reply = estimate(edge, key, {"items": [ITEM, ITEM | {"model": "none"}]})
    assert (reply.status_code, reply.json()["error"]["param"]) == (404, "items.1.model")


@pytest.mark.parametrize(
    ("policy", "code"), [({"models": ["o3"]}, "model_not_allowed"), ({"route_types": ["pooled"]}, "route_not_allowed")]
)
def test_what_the_key_may_not_ask_is_not_priced(edge: EdgeProcess, policy: dict[str, Any], code: str) -> None:
    reply = estimate(edge, edge.new_key(policy=policy), {"items": [ITEM]})
    assert (reply.status_code, reply.json()["error"]["code"], reply.json()["error"]["param"]) == (403, code, "items.0.model")


def test_within_a_run_its_rules_count(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    body = {"budget": {"credit": "5.00"}, "models": ["org/tiny"]}
    run_id = edge.client.post("/v1/runs", json=body, headers=key.headers).json()["id"]
    reply = estimate(edge, key, {"items": [ITEM], "run_id": run_id})
    assert (reply.status_code, reply.json()["error"]["envelope"]["id"]) == (403, run_id)
    assert estimate(edge, key, {"items": [ITEM | {"model": "org/tiny"}], "run_id": run_id}).status_code == 200
    assert peers.runs.estimates[-1].run_id == run_id
    assert estimate(edge, edge.new_key(), {"items": [ITEM], "run_id": run_id}).status_code == 404
