"""Runs over the edge's public endpoints, and requests that join them; settlement's side is scripted."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import openai
import pytest

from schemas import topics
from schemas.calls import CallContext
from schemas.envelope import now
from schemas.requests import RequestRejected
from tests.integration.edge.peers import Peers
from tests.integration.edge.processes import CHAT, EdgeProcess, Key, until
from tests.integration.edge.topic_reader import read_events

BUDGET = {"budget": {"credit": "5.00"}}
UNKNOWN = f"run_{'0' * 32}"


def post(edge: EdgeProcess, key: Key, path: str, body: Any = None, **headers: str) -> httpx.Response:
    """A client's POST."""
    return edge.client.post(path, json=body, headers=key.headers | headers)


def get(edge: EdgeProcess, key: Key, path: str, **headers: str) -> httpx.Response:
    """A client's GET."""
    return edge.client.get(path, headers=key.headers | headers)


def opened(edge: EdgeProcess, key: Key, **body: Any) -> str:
    """The id of a new run."""
    run_id: str = post(edge, key, "/v1/runs", BUDGET | body).raise_for_status().json()["id"]
    return run_id


def beside(edge: EdgeProcess, key: Key) -> Key:
    """Another key of the same account."""
    made = edge.admin("/keys", {"project_id": key.project_id, "name": "other"}).json()
    return Key(made["api_key"], made["key_id"], key.project_id, key.account_id)


def rejected(kafka: str, key: Key) -> list[RequestRejected]:
    """The account's refusals, once there is one."""
    found: list[RequestRejected] = []

    def arrived() -> bool:
        found[:] = [
            event for event in read_events(kafka, topics.REQUESTS, key.account_id) if isinstance(event, RequestRejected)
        ]
        return bool(found)

    until(arrived)
    return found


def test_a_run_is_opened_with_what_was_asked_and_who_asked(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    body = {
        "budget": {"credit": "5.00", "wallet": "20"},
        "models": ["gpt-4o"],
        "route_types": ["direct", "pooled"],
        "fallback": True,
        "cross_bucket": True,
        "max_attempts": 6,
        "deadline": "45m",
        "label": "research job",
        "reserve": False,
        "metadata": {"customer": "Köln"},
    }
    before = now()
    reply = post(edge, key, "/v1/runs", body, **{"idempotency-key": "job-1"})
    assert (reply.status_code, reply.json()["object"], reply.json()["state"]) == (201, "run", "open")
    asked = peers.runs.openings[-1]
    assert (asked.key.key_id, asked.key.project_id, asked.idempotency_key) == (key.key_id, key.project_id, "job-1")
    assert (asked.budget, asked.label, asked.reserve) == ({"credit": "5.00", "wallet": "20"}, "research job", False)
    assert asked.tags == {"customer": "Köln"}
    assert asked.rules.model_dump() == {name: body[name] for name in asked.rules.model_dump()}
    assert timedelta(minutes=44) < asked.deadline_at - before < timedelta(minutes=46)
    again = post(edge, key, "/v1/runs", body, **{"idempotency-key": "job-1"})
    assert (again.status_code, again.json()["id"]) == (200, reply.json()["id"])


def test_a_run_without_a_deadline_ends_in_a_day_and_takes_the_tags_of_the_header(
    edge: EdgeProcess, key: Key, peers: Peers
) -> None:
    reply = post(edge, key, "/v1/runs", BUDGET, **{"x-tollbook-tags": "feature=search"})
    deadline = datetime.fromisoformat(reply.json()["deadline_at"])
    assert timedelta(hours=23) < deadline - now() < timedelta(hours=25)
    assert (peers.runs.openings[-1].tags, peers.runs.openings[-1].reserve) == ({"feature": "search"}, True)


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "budget", "missing_required_parameter"),
        ({"budget": {}}, "budget", "invalid_value"),
        ({"budget": {"credit": 5}}, "budget.credit", "invalid_value"),
        ({"budget": {"credit": "-1"}}, "budget.credit", "invalid_value"),
        ({"budget": {"credit": "0.0000000001"}}, "budget.credit", "invalid_value"),
        ({"budget": "5.00"}, "budget", "invalid_value"),
        (BUDGET | {"modles": ["gpt-4o"]}, "modles", "unknown_parameter"),
        (BUDGET | {"models": []}, "models", "invalid_value"),
        (BUDGET | {"route_types": ["free"]}, "route_types.0", "invalid_value"),
        (BUDGET | {"fallback": "no"}, "fallback", "invalid_value"),
        (BUDGET | {"max_attempts": "4"}, "max_attempts", "invalid_value"),
        (BUDGET | {"reserve": 1}, "reserve", "invalid_value"),
        (BUDGET | {"deadline": "soon"}, "deadline", "invalid_deadline"),
        (BUDGET | {"deadline": "32d"}, "deadline", "invalid_deadline"),
        (BUDGET | {"deadline": 45}, "deadline", "invalid_value"),
        (BUDGET | {"label": "a\nb"}, "label", "invalid_value"),
        (BUDGET | {"label": "a\u202eb"}, "label", "invalid_value"),
        (BUDGET | {"tags": {"a": "\u2066b"}}, "tags", "invalid_value"),
        (BUDGET | {"cross_bucket": "yes"}, "cross_bucket", "invalid_value"),
        (BUDGET | {"tags": {"a": 1}}, "tags.a", "invalid_value"),
        (BUDGET | {"tags": {}, "metadata": {}}, None, "invalid_value"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name(
    *, edge: EdgeProcess, key: Key, peers: Peers, body: dict[str, Any], param: str | None, code: str
) -> None:
    before = len(peers.runs.openings)
    reply = post(edge, key, "/v1/runs", body)
    assert (reply.status_code, reply.json()["error"]["param"], reply.json()["error"]["code"]) == (400, param, code)
    assert len(peers.runs.openings) == before


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null"])
def test_a_body_that_is_no_object_is_refused(edge: EdgeProcess, key: Key, body: bytes) -> None:
    reply = edge.client.post("/v1/runs", content=body, headers=key.headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_json")


def test_a_body_beyond_any_need_is_refused(edge: EdgeProcess, key: Key) -> None:
    reply = edge.client.post("/v1/runs", content=b" " * 300_000, headers=key.headers)
    assert reply.status_code == 413


def test_what_settlement_refuses_reaches_the_client_whole(edge: EdgeProcess, key: Key) -> None:
    reply = post(edge, key, "/v1/runs", BUDGET | {"label": "too much"})
    error = reply.json()["error"]
    assert (reply.status_code, reply.headers["x-should-retry"]) == (402, "false")
    assert (error["code"], error["param"], error["needed"], error["left"]) == ("insufficient_balance", "budget", "9.00", "1.00")
    assert error["envelope"]["id"] == "credit"


@pytest.mark.parametrize(
    ("policy", "rules", "code", "param"),
    [
        ({"models": ["gpt-4o"]}, {"models": ["gpt-4o", "o3"]}, "model_not_allowed", "models"),
        ({"route_types": ["direct"]}, {"route_types": ["pooled"]}, "rule_not_allowed", "route_types"),
        ({"fallback": False}, {"fallback": True}, "rule_not_allowed", "fallback"),
    ],
)
def test_a_run_cannot_be_given_more_than_its_key_may(
    *, edge: EdgeProcess, policy: dict[str, Any], rules: dict[str, Any], code: str, param: str
) -> None:
    bound = edge.new_key(policy=policy)
    reply = post(edge, bound, "/v1/runs", BUDGET | rules)
    assert (reply.status_code, reply.json()["error"]["code"], reply.json()["error"]["param"]) == (403, code, param)


def test_a_run_may_cross_buckets_beyond_its_key_but_not_beyond_its_account(edge: EdgeProcess, peers: Peers) -> None:
    key = edge.new_key(policy={"cross_bucket": False})
    run_id = opened(edge, key, cross_bucket=True)
    edge.chat(key, **{"x-tollbook-run": run_id})
    assert peers.calls[-1].context.policy.cross_bucket
    edge.admin(f"/accounts/{key.account_id}/policy", {"policy": {"cross_bucket": False}}).raise_for_status()
    assert edge.chat(key, **{"x-tollbook-run": run_id}).status_code == 200
    assert not peers.calls[-1].context.policy.cross_bucket
    reply = post(edge, key, "/v1/runs", BUDGET | {"cross_bucket": True})
    assert (reply.status_code, reply.json()["error"]["envelope"]["kind"]) == (403, "account")


def test_an_account_sees_its_runs_and_nobody_elses(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    run_id = opened(edge, key)
    other, stranger = beside(edge, key), edge.new_key()
    page = get(edge, other, "/v1/runs?state=open&limit=5").json()
    assert (page["object"], [run["id"] for run in page["data"]]) == ("list", [run_id])
    assert peers.runs.queries[-1] == {"state": "open", "limit": "5"}
    assert get(edge, other, f"/v1/runs/{run_id}").json()["id"] == run_id
    assert get(edge, stranger, "/v1/runs").json()["data"] == []
    assert get(edge, stranger, f"/v1/runs/{run_id}").json()["error"]["code"] == "run_not_found"


@pytest.mark.parametrize("query", ["state=new", "limit=0", "limit=x", "page=2"])
def test_a_query_that_does_not_fit_is_refused(edge: EdgeProcess, key: Key, query: str) -> None:
    reply = get(edge, key, f"/v1/runs?{query}")
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, query.partition("=")[0])


@pytest.mark.parametrize("run_id", [UNKNOWN, "run_", "x", "..%2Fbalances", "run_a%00", "run_" + "a" * 200])
def test_an_unknown_run_is_not_found_whatever_is_asked_of_it(edge: EdgeProcess, key: Key, run_id: str) -> None:
    replies = [get(edge, key, f"/v1/runs/{run_id}"), post(edge, key, f"/v1/runs/{run_id}/close")]
    replies.append(post(edge, key, f"/v1/runs/{run_id}/extend", BUDGET))
    assert {reply.status_code for reply in replies} == {404}


def test_a_run_is_read_as_text_by_people(edge: EdgeProcess, key: Key) -> None:
    run_id = opened(edge, key, label="research job")
    by_query, by_header = (
        get(edge, key, f"/v1/runs/{run_id}?format=text"),
        get(edge, key, f"/v1/runs/{run_id}", accept="text/plain"),
    )
    assert by_query.text == by_header.text
    assert by_query.headers["content-type"] == "text/plain; charset=utf-8"
    assert f"RUN  {run_id}   OPEN" in by_query.text
    assert "research job" in by_query.text


def test_its_own_key_extends_and_closes_a_run(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    run_id = opened(edge, key)
    body = {"budget": {"credit": "1.50"}, "deadline": "2h"}
    assert post(edge, key, f"/v1/runs/{run_id}/extend", body, **{"idempotency-key": "more"}).status_code == 200
    extension = peers.runs.extensions[-1]
    assert (extension.budget, extension.idempotency_key) == ({"credit": "1.50"}, "more")
    assert extension.deadline_at is not None
    assert post(edge, key, f"/v1/runs/{run_id}/close").json()["state"] == "closed"
    assert post(edge, key, f"/v1/runs/{run_id}/close", {}).status_code == 200
    assert {closing.key.key_id for closing in peers.runs.closings[-2:]} == {key.key_id}
    late = post(edge, key, f"/v1/runs/{run_id}/extend", body)
    assert (late.status_code, late.json()["error"]["code"], late.headers["x-should-retry"]) == (409, "run_closed", "false")


def test_another_key_of_the_account_neither_extends_nor_closes_nor_joins(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    run_id, other = opened(edge, key), beside(edge, key)
    replies = [
        post(edge, other, f"/v1/runs/{run_id}/extend", BUDGET),
        post(edge, other, f"/v1/runs/{run_id}/close"),
        edge.chat(other, **{"x-tollbook-run": run_id}),
    ]
    assert {(reply.status_code, reply.json()["error"]["code"]) for reply in replies} == {(403, "run_not_allowed")}
    assert edge.chat(key, **{"x-tollbook-run": run_id}).status_code == 200


@pytest.mark.parametrize("body", [{}, {"deadline": None}, {"budget": {}}, {"label": "x"}])
def test_an_extension_extends_something(edge: EdgeProcess, key: Key, body: dict[str, Any]) -> None:
    run_id = opened(edge, key)
    assert post(edge, key, f"/v1/runs/{run_id}/extend", body).status_code == 400


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_other_methods_are_named(edge: EdgeProcess, key: Key, method: str) -> None:
    reply = edge.client.request(method, "/v1/runs", headers=key.headers)
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD, POST")


def test_without_a_key_nothing_is_told(edge: EdgeProcess) -> None:
    calls = [("GET", "/v1/runs"), ("POST", "/v1/runs"), ("POST", "/v1/estimate"), ("POST", f"/v1/runs/{UNKNOWN}/close")]
    assert {edge.client.request(method, path).status_code for method, path in calls} == {401}


@pytest.fixture
def client(edge: EdgeProcess, key: Key) -> Iterator[openai.OpenAI]:
    """The official client, unchanged but for the address and the key."""
    with openai.OpenAI(base_url=f"{edge.url}/v1", api_key=key.api_key, max_retries=3) as made:
        yield made


def joined(peers: Peers) -> CallContext:
    """What router was told of the last call."""
    return peers.calls[-1].context


def test_a_request_joins_by_header_or_by_metadata(edge: EdgeProcess, key: Key, peers: Peers, client: openai.OpenAI) -> None:
    run_id = opened(edge, key, max_attempts=2, route_types=["direct"])
    messages: Any = [{"role": "user", "content": "x"}]
    client.chat.completions.create(model="gpt-4o", messages=messages, extra_headers={"x-tollbook-run": run_id})
    assert (joined(peers).run_id, joined(peers).policy.max_attempts) == (run_id, 2)
    assert [(limit.kind, limit.id) for limit in joined(peers).route_limits] == [("run", run_id)]
    reply = client.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=messages, metadata={"run_id": run_id, "a": "b"}
    )
    assert (joined(peers).run_id, reply.headers["x-tollbook-run"]) == (run_id, run_id)


def test_header_and_metadata_must_name_the_same_run(edge: EdgeProcess, key: Key) -> None:
    run_id = opened(edge, key)
    body = CHAT | {"metadata": {"run_id": run_id}}
    assert edge.chat(key, body, **{"x-tollbook-run": run_id}).status_code == 200
    reply = edge.chat(key, body, **{"x-tollbook-run": UNKNOWN})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "metadata.run_id")


def test_a_run_is_looked_up_once(edge: EdgeProcess, key: Key, peers: Peers) -> None:
    run_id = opened(edge, key)
    before = peers.runs.lookups
    for _ in range(5):
        assert edge.chat(key, **{"x-tollbook-run": run_id}).status_code == 200
    assert edge.chat(key).status_code == 200
    assert peers.runs.lookups == before + 1


def test_an_unknown_run_is_refused_and_recorded_with_its_id(
    edge: EdgeProcess, key: Key, peers: Peers, kafka_bootstrap_servers: str
) -> None:
    before = len(peers.calls)
    reply = edge.chat(key, **{"x-tollbook-run": UNKNOWN})
    assert (reply.status_code, reply.json()["error"]["code"], reply.headers["x-tollbook-run"]) == (
        404,
        "run_not_found",
        UNKNOWN,
    )
    (event,) = rejected(kafka_bootstrap_servers, key)
    assert (event.data.code, event.data.http_status, event.run_id) == ("run_not_found", 404, UNKNOWN)
    assert len(peers.calls) == before


def test_a_model_that_the_run_leaves_out_is_refused_in_its_name(
    edge: EdgeProcess, key: Key, kafka_bootstrap_servers: str
) -> None:
    run_id = opened(edge, key, models=["gpt-4o-mini"])
    error = edge.chat(key, CHAT | {"metadata": {"run_id": run_id}}).json()["error"]
    assert (error["code"], error["message"]) == ("model_not_allowed", f"The run {run_id} may not use the model 'gpt-4o'.")
    assert error["envelope"] == {"kind": "run", "id": run_id, "window": None}
    (event,) = rejected(kafka_bootstrap_servers, key)
    assert (event.data.code, event.run_id) == ("model_not_allowed", run_id)


def test_while_settlement_is_away_no_request_joins_a_run_that_is_not_known_yet(
    edge: EdgeProcess, key: Key, peers: Peers
) -> None:
    known, fresh = opened(edge, key), opened(edge, key)
    edge.chat(key, **{"x-tollbook-run": known})
    peers.runs.away = True
    try:
        assert edge.chat(key, **{"x-tollbook-run": known}).status_code == 200
        reply = edge.chat(key, **{"x-tollbook-run": fresh})
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "ledger_unavailable")
        assert "retry-after" in reply.headers
    finally:
        peers.runs.away = False
    assert edge.chat(key, **{"x-tollbook-run": fresh}).status_code == 200


@pytest.mark.parametrize("header", ["x-tollbook-run", "idempotency-key", "x-tollbook-tags"])
def test_of_two_headers_that_say_one_thing_none_counts(edge: EdgeProcess, key: Key, peers: Peers, header: str) -> None:
    before = len(peers.calls)
    twice = [*key.headers.items(), (header, "a=b"), (header, "a=c")]
    for path, body in (("/v1/chat/completions", CHAT), ("/v1/runs", BUDGET), ("/v1/estimate", {"items": []})):
        reply = edge.client.post(path, json=body, headers=twice)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, header), path
    assert len(peers.calls) == before


@pytest.mark.parametrize("kind", ["account", "project", "key"])
def test_what_is_frozen_may_close_its_run_and_nothing_else(edge: EdgeProcess, key: Key, kind: str) -> None:
    run_id = opened(edge, key)
    edge.admin(f"/{kind}s/{getattr(key, f'{kind}_id')}/freeze")
    refused = post(edge, key, f"/v1/runs/{run_id}/extend", BUDGET)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, f"{kind}_frozen")
    assert refused.headers["x-should-retry"] == "false"
    assert post(edge, key, f"/v1/runs/{run_id}/close").json()["state"] == "closed"


def test_a_revoked_key_closes_nothing(edge: EdgeProcess, key: Key) -> None:
    run_id = opened(edge, key)
    edge.admin(f"/keys/{key.key_id}/revoke")
    assert post(edge, key, f"/v1/runs/{run_id}/close").status_code == 401
