"""The control endpoint."""

from __future__ import annotations

import csv
from decimal import Decimal
from typing import Any

import httpx
import pytest

from .conftest import Provider


def complete(provider: Provider, channel: str | None = None, **fields: Any) -> int:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "secret text"}], **fields}
    path = f"/{channel or provider.channel}/v1/chat/completions"
    return provider.http.post(path, json=body, headers={"authorization": "Bearer k"}).status_code


def test_it_is_healthy(provider: Provider) -> None:
    assert provider.http.get("/healthz").json() == {"status": "ok"}


def test_faults_hit_their_own_channel_only_until_they_are_deleted(provider: Provider) -> None:
    other = provider.channel + "x"
    provider.script({"kind": "503", "probability": 1.0})
    assert [complete(provider), complete(provider, other)] == [503, 200]
    named = {"channel": provider.channel}
    assert provider.http.get("/control/faults", params=named).json()["channels"][0]["faults"][0]["kind"] == "503"
    assert provider.http.delete("/control/faults", params=named).json()["channels"][0]["faults"] == []
    assert complete(provider) == 200


def test_the_invoice_adds_up_by_model_and_starts_afresh(provider: Provider) -> None:
    counts = {"sim_input_tokens": "100", "sim_output_tokens": "20", "sim_cached_tokens": "60", "sim_reasoning_tokens": "5"}
    for model in ("a", "b", "a"):
        complete(provider, model=model, metadata=counts)
    totals = {"prompt_tokens": 100, "cached_tokens": 60, "completion_tokens": 20, "reasoning_tokens": 5}
    assert provider.invoice() == [
        {"model": "a", "requests": 2, **{name: 2 * value for name, value in totals.items()}},
        {"model": "b", "requests": 1, **totals},
    ]
    assert (provider.stats()["requests"], provider.stats()["statuses"]) == (3, {"200": 3})
    provider.http.delete("/control/stats", params={"channel": provider.channel})
    assert (provider.stats()["requests"], provider.invoice(), provider.requests()) == (0, [], [])


def test_the_invoice_is_written_line_by_line_with_the_ids_of_replies_that_never_came_too(provider: Provider) -> None:
    counts = {"sim_input_tokens": "1000", "sim_output_tokens": "20", "sim_cached_tokens": "400"}
    complete(provider, model="a", metadata=counts)
    provider.script({"kind": "refuse", "billed": True})
    with pytest.raises(httpx.HTTPError):
        complete(provider, model="a", metadata=counts)
    asked = {"channel": provider.channel, "input": "2.5", "cached_input": "1.25", "output": "10", "currency": "EUR"}
    reply = provider.http.get("/control/invoice", params=asked)
    assert reply.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(reply.text.splitlines()))
    assert [(row["model"], row["prompt_tokens"], row["cached_tokens"], row["completion_tokens"]) for row in rows] == [
        ("a", "1000", "400", "20")
    ] * 2
    assert {(Decimal(row["cost"]), row["currency"]) for row in rows} == {(Decimal("0.0022"), "EUR")}
    assert len({row["id"] for row in rows}) == 2
    assert all(row["request_id"] == row["id"].replace("chatcmpl-", "req_") for row in rows)
    without = provider.http.get("/control/invoice", params={"channel": provider.channel}).text
    assert {row["cost"] for row in csv.DictReader(without.splitlines())} == {""}
    assert provider.http.get("/control/invoice", params={"output": "x"}).status_code == 400


def test_shapes_tell_the_form_of_a_body_and_nothing_of_its_text(provider: Provider) -> None:
    complete(provider, max_tokens=9, stream=True, stream_options={"include_usage": True})
    assert provider.requests() == [
        {
            "model": "gpt-4o",
            "keys": ["model", "messages", "max_tokens", "stream", "stream_options"],
            "max_tokens": 9,
            "stream": True,
            "include_usage": True,
            "choices": 1,
            "messages": 1,
            "tools": 0,
            "authorization": True,
            "fault": None,
        }
    ]
    assert "secret" not in provider.http.get("/control/requests").text


def test_only_the_last_thousand_shapes_are_kept(provider: Provider) -> None:
    for number in range(1_003):
        complete(provider, max_tokens=number + 1)
    assert [provider.requests()[index]["max_tokens"] for index in (0, -1)] == [4, 1_003]


def test_a_request_that_is_wrong_uses_up_no_fault(provider: Provider) -> None:
    provider.script({"kind": "500"})
    assert [complete(provider, n=0), complete(provider)] == [400, 500]


def test_a_pace_holds_until_it_is_deleted(provider: Provider) -> None:
    pace = {"channel": provider.channel, "latency_ms": 1.0, "ttft_ms": 2.0, "chunk_ms": 0.5}
    assert provider.http.post("/control/pace", json=pace).json() == pace
    assert complete(provider, stream=True) == 200
    cleared = provider.http.delete("/control/pace", params={"channel": provider.channel}).json()["channels"][0]
    assert cleared == {"channel": provider.channel, "latency_ms": 0, "ttft_ms": 0, "chunk_ms": 0}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/control/faults", "{", 400),
        ("POST", "/control/faults", '{"channel":"c","faults":[{"kind":"x"}]}', 400),
        ("POST", "/control/faults", '{"channel":"control","faults":[]}', 400),
        ("POST", "/control/pace", '{"channel":"c","latency_ms":-1}', 400),
        ("POST", "/control/stats", "", 404),
        ("GET", "/control/nothing", None, 404),
        ("GET", "/nowhere", None, 404),
        ("POST", "/control/v1/chat/completions", "{}", 404),
        ("GET", "/c/v1/chat/completions", None, 405),
        ("DELETE", "/c/v1/models", None, 405),
    ],
)
def test_a_wrong_call_says_so(provider: Provider, method: str, path: str, body: str | None, status: int) -> None:
    reply = provider.http.request(method, path, content=body, headers={"authorization": "Bearer k"})
    assert reply.status_code == status
    assert reply.json()["error"]
