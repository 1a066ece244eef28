"""OpenAI's wire format: request out, reply in, errors told apart."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from schemas.money import Usage
from services.router.ask import parse_ask
from services.router.dialects.openai import (
    failure_of,
    priced_body,
    read_reply,
    read_usage,
    request_body,
    takes_completion_cap,
    usage_document,
)
from services.router.errors import UpstreamError
from tests.unit.router.things import ask, body

COST = {"cost": "0.001", "currency": "USD", "bucket": "credit"}
REPORTED = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 10},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
USAGE = Usage(input_tokens=60, cached_input_tokens=30, cache_write_tokens=10, output_tokens=20, reasoning_tokens=5)


def sent(upstream_model: str = "gpt-4o", **more: Any) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(request_body(ask(**more), upstream_model, 77))
    return document


def test_unknown_parameters_pass_through_and_the_model_is_the_upstreams() -> None:
    document = sent("up-model", temperature=0.5, made_up={"a": [1]}, tools=[])
    assert document["model"] == "up-model"
    assert (document["temperature"], document["made_up"], document["tools"]) == (0.5, {"a": [1]}, [])
    assert "stream_options" not in document


@pytest.mark.parametrize(
    ("metadata", "passed"),
    [
        ({"run_id": "run_1"}, {}),
        ({"run_id": "run_1", "a": "b"}, {"metadata": {"a": "b"}}),
        ({"a": "b"}, {"metadata": {"a": "b"}}),
        ({}, {"metadata": {}}),
        (None, {"metadata": None}),
        ("run_id", {"metadata": "run_id"}),
    ],
)
def test_metadata_goes_on_without_the_run_that_it_names(metadata: Any, passed: dict[str, Any]) -> None:
    request = ask(metadata=metadata)
    document = orjson.loads(request_body(request, "gpt-4o", 77))
    assert {name: value for name, value in document.items() if name == "metadata"} == passed
    assert request.body["metadata"] == metadata


@pytest.mark.parametrize(
    ("upstream_model", "more", "name"),
    [
        ("gpt-4o", {}, "max_tokens"),
        ("gpt-4o", {"max_tokens": 9}, "max_tokens"),
        ("gpt-4o", {"max_completion_tokens": 9}, "max_completion_tokens"),
        ("gpt-5-mini", {"max_tokens": 9}, "max_completion_tokens"),
        ("o4-mini", {}, "max_completion_tokens"),
    ],
)
def test_the_holds_cap_is_sent_under_the_name_that_the_upstream_takes(
    upstream_model: str, more: dict[str, Any], name: str
) -> None:
    document = sent(upstream_model, **more)
    assert {key: document[key] for key in document if key.startswith("max_")} == {name: 77}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-5", True), ("gpt-5.1-mini", True), ("gpt-6", True), ("o3", True), ("o4-mini", True), ("openai/gpt-5", True),
        ("gpt-4o", False), ("gpt-4.1", False), ("gpt-oss", False), ("omni", False), ("deepseek-chat", False), ("", False),
    ],
)  # fmt: skip
def test_which_models_know_only_the_new_cap(model: str, expected: bool) -> None:
    assert takes_completion_cap(model) is expected


def test_a_stream_always_asks_for_its_usage_and_keeps_other_options() -> None:
    document = sent(stream=True, stream_options={"include_obfuscation": False})
    assert document["stream_options"] == {"include_obfuscation": False, "include_usage": True}


def test_the_clients_own_body_is_not_changed() -> None:
    request = ask(max_tokens=5)
    before = dict(request.body)
    request_body(request, "other", 3)
    assert request.body == before


def test_a_body_too_deep_to_write_is_the_clients_fault() -> None:
    deep = body(metadata=None).replace(b"null", b"[" * 300 + b"]" * 300)
    with pytest.raises(UpstreamError) as caught:
        request_body(parse_ask(deep), "gpt-4o", 77)
    assert (caught.value.verdict, caught.value.status) == ("pass", 400)


def test_token_classes_do_not_overlap() -> None:
    assert read_usage(REPORTED) == USAGE
    assert usage_document(USAGE)["total_tokens"] == 120


@pytest.mark.parametrize(
    "change",
    [
        {"prompt_tokens": -1},
        {"prompt_tokens": 1.5},
        {"prompt_tokens": True},
        {"prompt_tokens": "100"},
        {"prompt_tokens": None},
        {"prompt_tokens": 10**8 + 1},
        {"completion_tokens": 10**12},
        {"completion_tokens": 4},
        {"prompt_tokens_details": {"cached_tokens": 101}},
        {"prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 41}},
        {"prompt_tokens_details": [1]},
        {"completion_tokens_details": {"reasoning_tokens": -1}},
    ],
)
def test_a_usage_that_contradicts_itself_counts_as_none(change: dict[str, Any]) -> None:
    assert read_usage({**REPORTED, **change}) is None


def test_details_may_be_absent_or_null() -> None:
    assert read_usage({"prompt_tokens": 3, "completion_tokens": 4}) == Usage(input_tokens=3, output_tokens=4)
    both = {"prompt_tokens_details": None, "completion_tokens_details": None}
    assert read_usage({"prompt_tokens": 3, "completion_tokens": 4, **both}) == Usage(input_tokens=3, output_tokens=4)


def test_a_reply_carries_its_cost_beside_what_the_upstream_reported() -> None:
    reply = read_reply(orjson.dumps({"model": "gpt-4o-2026", "choices": [{"index": 0}], "usage": REPORTED, "extra": 1}))
    assert (reply.usage, reply.model) == (USAGE, "gpt-4o-2026")
    assert orjson.loads(priced_body(reply, USAGE, COST)) == {
        "model": "gpt-4o-2026",
        "choices": [{"index": 0}],
        "usage": {**REPORTED, **COST},
        "extra": 1,
    }


@pytest.mark.parametrize("reported", [None, {"prompt_tokens": -3}, "many"])
def test_a_reply_without_usable_usage_carries_the_estimate(reported: Any) -> None:
    reply = read_reply(orjson.dumps({"choices": [{"index": 0}], "usage": reported}))
    assert reply.usage is None
    priced = orjson.loads(priced_body(reply, Usage(input_tokens=3, output_tokens=4), COST))
    assert (priced["usage"]["prompt_tokens"], priced["usage"]["completion_tokens"], priced["usage"]["cost"]) == (3, 4, "0.001")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"choices":[]}', b'{"choices":"x"}', b"<html>"])
def test_what_is_no_reply_is_malformed_and_may_be_asked_again(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        read_reply(body)
    assert (caught.value.error_class, caught.value.verdict) == ("malformed_reply", "retry")


@pytest.mark.parametrize(
    ("status", "code", "error_class", "verdict"),
    [
        (400, None, "invalid_request", "pass"),
        (404, None, "invalid_request", "pass"),
        (413, None, "invalid_request", "pass"),
        (422, None, "invalid_request", "pass"),
        (400, "content_filter", "content_filtered", "pass"),
        (401, None, "unauthorized", "next"),
        (402, None, "unauthorized", "next"),
        (403, None, "unauthorized", "next"),
        (408, None, "timeout", "retry"),
        (409, None, "upstream_error", "retry"),
        (429, "rate_limit_exceeded", "rate_limited", "retry"),
        (429, "insufficient_quota", "rate_limited", "next"),
        (500, None, "upstream_error", "retry"),
        (502, None, "upstream_unavailable", "retry"),
        (503, None, "upstream_unavailable", "retry"),
        (504, None, "timeout", "retry"),
        (529, None, "upstream_unavailable", "retry"),
        (301, None, "upstream_error", "next"),
        (302, None, "upstream_error", "next"),
        (418, None, "upstream_error", "next"),
        (204, None, "upstream_error", "next"),
    ],
)
def test_each_status_has_a_class_and_a_verdict(status: int, code: str | None, error_class: str, verdict: str) -> None:
    failure = failure_of(status, orjson.dumps({"error": {"message": "m", "code": code}}), 7.0)
    assert (failure.error_class, failure.verdict, failure.status, failure.retry_after_s) == (error_class, verdict, status, 7.0)


def test_only_the_clients_own_fault_is_passed_on_word_for_word() -> None:
    body = orjson.dumps({"error": {"message": "bad temperature", "param": "temperature"}})
    assert failure_of(400, body, None).body == body
    assert failure_of(401, body, None).body == b""
    assert failure_of(400, b"<html>", None).body == b""


@pytest.mark.parametrize("error", [[1], "bad", 7, {}, {"message": None}, {"message": ["bad"]}, {"code": "bad"}])
def test_an_error_that_is_none_is_not_passed_on(error: Any) -> None:
    failure = failure_of(400, orjson.dumps({"error": error}), None)
    assert (failure.verdict, failure.body) == ("pass", b"")


@pytest.mark.parametrize(
    "body", [{"error": {"message": "m"}, "usage": REPORTED}, {"error": {"message": "m", "usage": REPORTED}}]
)
def test_tokens_that_a_failure_burned_are_read(body: dict[str, Any]) -> None:
    assert failure_of(500, orjson.dumps(body), None).usage == USAGE
