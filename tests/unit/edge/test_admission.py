"""What a body must be before the router hears of it, and what a key may ask for."""

from typing import Any

import pytest

from services.edge.admission import Admitted, admit_call, named_model, parse_object
from services.edge.errors import ApiError, ForbiddenError, InvalidApiKeyError, InvalidRequestError
from services.edge.policies import EnvelopePolicy
from tests.unit.edge.values import caller

GOOD: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b"null", b"{'a':1}", b'{"a":NaN}', b'{"a":"\xff"}', b"[" * 5000])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse_object(body)
    assert (refused.value.status, refused.value.code) == (400, "invalid_json")


def test_a_good_request_is_admitted() -> None:
    assert admit_call(GOOD, caller()) == Admitted("gpt-4o", stream=False)
    assert admit_call(GOOD | {"stream": True}, caller()) == Admitted("gpt-4o", stream=True)
    assert admit_call(GOOD | {"stream": None}, caller()) == Admitted("gpt-4o", stream=False)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 4}, "model"),
        ({"model": ""}, "model"),
        ({"model": "  "}, "model"),
        ({"model": "m" * 129}, "model"),
        ({"model": "gpt\n4o"}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages"),
        ({"messages": {"role": "user"}}, "messages"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
    ],
)
def test_a_wrong_parameter_is_refused_by_its_name(change: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as refused:
        admit_call(GOOD | change, caller())
    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize("missing", ["model", "messages"])
def test_a_missing_parameter_is_refused_by_its_name(missing: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        admit_call({name: value for name, value in GOOD.items() if name != missing}, caller())
    assert refused.value.param == missing


def test_a_key_may_ask_only_for_the_models_of_its_policy() -> None:
    bound = caller(policy=EnvelopePolicy(models=["gpt-4o-mini"]))
    assert admit_call(GOOD | {"model": "gpt-4o-mini"}, bound).model == "gpt-4o-mini"
    with pytest.raises(ForbiddenError) as refused:
        admit_call(GOOD, bound)
    assert (refused.value.status, refused.value.code, refused.value.param) == (403, "model_not_allowed", "model")


def test_a_key_without_models_may_ask_for_none() -> None:
    with pytest.raises(ForbiddenError):
        admit_call(GOOD, caller(policy=EnvelopePolicy(models=[])))


@pytest.mark.parametrize("scope", ["account", "project", "key"])
def test_a_frozen_key_is_refused_and_told_what_is_frozen(scope: str) -> None:
    with pytest.raises(ForbiddenError) as refused:
        caller(frozen=scope).require_standing()
    assert (refused.value.status, refused.value.code) == (403, f"{scope}_frozen")


def test_a_revoked_key_is_refused_like_an_unknown_one() -> None:
    with pytest.raises(InvalidApiKeyError) as refused:
        caller(revoked=True, frozen="key").require_standing()
    assert (refused.value.status, refused.value.code) == (401, "invalid_api_key")


@pytest.mark.parametrize(("payload", "model"), [({"model": "x" * 500}, "x" * 128), ({"model": 3}, ""), ({}, "")])
def test_the_record_of_a_refusal_names_a_model_within_bounds(payload: dict[str, Any], model: str) -> None:
    assert named_model(payload) == model


@pytest.mark.parametrize("asked", ["hi", [{"role": "user", "content": "hi"}]])
def test_an_api_without_messages_asks_for_its_own_content(asked: Any) -> None:
    assert admit_call({"model": "gpt-4o", "input": asked}, caller(), "input") == Admitted("gpt-4o", stream=False)
    nothings: list[dict[str, Any]] = [{}, {"input": ""}, {"input": []}, {"messages": GOOD["messages"]}]
    for nothing in nothings:
        with pytest.raises(InvalidRequestError) as refused:
            admit_call({"model": "gpt-4o", **nothing}, caller(), "input")
        assert refused.value.param == "input"
