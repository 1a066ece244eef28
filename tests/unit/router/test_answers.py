"""What the client sees of a refusal or a failure."""

from __future__ import annotations

from typing import get_args

import orjson
import pytest

from schemas.attempts import ErrorClass
from services.router.answers import Answer, failure_answer, failure_document, refusal_answer
from services.router.call import Charge
from services.router.errors import RefusalError, UpstreamError


def headers(answer: Answer) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in answer.headers}


def test_a_refusal_has_openais_shape_and_tells_edge_that_nothing_was_called() -> None:
    answer = refusal_answer(RefusalError(402, "insufficient_balance", "the bucket credit is empty", param=None), "r-1")
    assert answer.status == 402
    assert orjson.loads(answer.body) == {
        "error": {
            "message": "the bucket credit is empty",
            "type": "insufficient_quota", "param": None, "code": "insufficient_balance",
        }
    }  # fmt: skip
    assert headers(answer)["x-tollbook-rejected"] == "insufficient_balance"
    assert headers(answer)["x-request-id"] == "r-1"
    assert "retry-after" not in headers(answer)


@pytest.mark.parametrize(("status", "retry"), [(402, "false"), (409, "false"), (403, None), (404, None), (503, None)])
def test_sdks_are_told_not_to_retry_what_only_a_decision_lifts(status: int, retry: str | None) -> None:
    assert headers(refusal_answer(RefusalError(status, "c", "m"))).get("x-should-retry") == retry


def test_what_programs_need_of_a_refusal_comes_beside_the_four_members() -> None:
    facts = {"envelope": {"kind": "run", "id": "run_1", "window": "run"}, "needed": "0.02", "left": "0.01", "currency": "USD"}
    error = orjson.loads(refusal_answer(RefusalError(402, "budget_exceeded", "m", facts=facts)).body)["error"]
    assert error == {"message": "m", "type": "insufficient_quota", "param": None, "code": "budget_exceeded", **facts}


@pytest.mark.parametrize(
    ("status", "wait", "retry"), [(429, 30, None), (429, 3600, "false"), (503, 3600, None), (402, 3, "true")]
)
def test_sdks_are_told_whether_to_come_back_for_what_waiting_lifts(status: int, wait: int, retry: str | None) -> None:
    found = headers(refusal_answer(RefusalError(status, "c", "m", retry_after_s=wait)))
    assert (found["retry-after"], found.get("x-should-retry")) == (str(wait), retry)


@pytest.mark.parametrize("error_class", get_args(ErrorClass))
def test_no_failure_answers_500_and_each_names_its_class(error_class: ErrorClass) -> None:
    answer = failure_answer(UpstreamError(error_class, "next"), [])
    assert answer.status in ({400} if error_class == "not_translatable" else {429, 499, 502, 503, 504})
    assert orjson.loads(answer.body)["error"]["code"] == error_class
    assert failure_document(error_class)["error"]["message"]
    assert "x-tollbook-rejected" not in headers(answer)


def test_the_providers_own_words_are_passed_on_where_the_request_is_at_fault() -> None:
    body = b'{"error":{"message":"bad temperature"}}'
    answer = failure_answer(UpstreamError("invalid_request", "pass", status=400, body=body), [])
    assert (answer.status, answer.body) == (400, body)


def test_a_rate_limit_tells_of_which_model_when_to_come_back_and_that_it_cost_nothing() -> None:
    answer = failure_answer(UpstreamError("rate_limited", "retry", status=429, retry_after_s=6.2), [], model="gpt-4o")
    assert (answer.status, headers(answer)["retry-after"]) == (429, "7")
    assert orjson.loads(answer.body)["error"]["message"] == (
        "Every channel for the model `gpt-4o` is at a rate limit, its provider's or its own here; nothing was charged."
        " Try again in 7 seconds."
    )


@pytest.mark.parametrize("body", [b"", b'{"error":{"message":"Bad.","code":"bad"}}'], ids=["ours", "the provider's"])
@pytest.mark.parametrize("error_class", ["rate_limited", "timeout", "invalid_request"])
def test_a_failure_that_is_charged_by_policy_says_how_much(error_class: ErrorClass, body: bytes) -> None:
    charge = Charge(2, "credit", "USD", 245_000, overrun=False, also=(1,))
    answer = failure_answer(UpstreamError(error_class, "pass", body=body), [], model="gpt-4o", charge=charge)
    error = orjson.loads(answer.body)["error"]
    assert (error["cost"], error["currency"]) == ("0.000245", "USD")
    assert error["message"].endswith(" 0.000245 USD was charged for failed attempts that used tokens, by policy.")
    assert "nothing was charged" not in error["message"]
    assert headers(answer)["content-length"] == str(len(answer.body))
