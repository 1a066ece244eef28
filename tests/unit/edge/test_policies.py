"""Account, project and key each narrow what is around them, and a refusal names the one that refused."""

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from schemas.calls import CallContext, Policy
from schemas.envelope import new_id, now
from services.edge.admin_models import InnerPolicyChange, KeyBody, PolicyChange, ProjectBody
from services.edge.context import Call, render_context
from services.edge.errors import ForbiddenError
from services.edge.policies import EnvelopePolicy, effective
from tests.unit.edge.values import caller

GPT = EnvelopePolicy(models=["gpt-4o", "gpt-5"])


def policy(**said: Any) -> EnvelopePolicy:
    return EnvelopePolicy(**said)


def test_without_any_policy_everything_is_allowed_but_crossing_buckets() -> None:
    assert effective([None, None, None]) == effective([policy(), policy()]) == Policy()
    assert not Policy().cross_bucket


@pytest.mark.parametrize(
    ("around", "within", "left"),
    [
        (None, ["a"], ["a"]),
        (["*"], ["a"], ["a"]),
        (["a", "b"], None, ["a", "b"]),
        (["a", "b"], ["*"], ["a", "b"]),
        (["a", "b"], ["b", "c"], ["b"]),
        (["a"], ["b"], []),
        ([], ["*"], []),
    ],
)
def test_a_model_needs_every_envelopes_leave(around: list[str] | None, within: list[str] | None, left: list[str]) -> None:
    assert effective([policy(models=around), policy(models=within)]).models == left


def test_route_types_are_those_that_every_envelope_allows() -> None:
    left = effective([policy(route_types=["pooled", "direct"]), policy(route_types=["direct", "subscription"])])
    assert left.route_types == ["direct"]


def test_one_envelope_that_forbids_falling_back_is_enough() -> None:
    assert effective([policy(fallback=True)]).fallback
    assert not effective([policy(fallback=True), policy(fallback=False)]).fallback
    assert not effective([policy(fallback=False), policy(fallback=True)]).fallback


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ([None], False),
        ([True], True),
        ([None, True], True),
        ([True, None], True),
        ([False, True], False),
        ([True, False], False),
    ],
)
def test_crossing_buckets_needs_one_that_permits_it_and_none_that_forbids_it(said: list[bool | None], allowed: bool) -> None:
    assert effective([policy(cross_bucket=each) for each in said]).cross_bucket is allowed


def test_the_fewest_attempts_count() -> None:
    assert effective([policy(max_attempts=6)]).max_attempts == 6
    assert effective([policy(max_attempts=6), policy(max_attempts=2), policy(max_attempts=9)]).max_attempts == 2


@pytest.mark.parametrize(
    ("policies", "kind", "subject"),
    [
        ({"account_policy": GPT}, "account", "This account"),
        ({"project_policy": GPT}, "project", "This project"),
        ({"policy": GPT}, "key", "This API key"),
        ({"account_policy": GPT, "project_policy": GPT, "policy": GPT}, "account", "This account"),
        (
            {"account_policy": policy(models=["*"]), "policy": GPT, "project_policy": policy(fallback=False)},
            "key",
            "This API key",
        ),
    ],
)
def test_a_refused_model_names_the_outermost_envelope_that_refuses_it(
    policies: dict[str, EnvelopePolicy], kind: str, subject: str
) -> None:
    bound = caller(**{"policy": None} | policies)
    bound.require_model("gpt-4o")
    with pytest.raises(ForbiddenError, match=f"^{subject} may not use the model 'o3'") as refused:
        bound.require_model("o3")
    ids = {"account": "acc_1", "project": "prj_1", "key": "Q7mZk2XvB9tL"}
    body = orjson.loads(refused.value.body())["error"]
    assert body["envelope"] == {"kind": kind, "id": ids[kind], "window": None}


def test_a_model_that_two_envelopes_leave_nothing_of_is_refused_by_the_inner_one() -> None:
    bound = caller(project_policy=policy(models=["gpt-4o"]), policy=policy(models=["gpt-5"]))
    with pytest.raises(ForbiddenError, match="This API key may not use"):
        bound.require_model("gpt-4o")


def test_router_is_told_which_envelopes_leave_out_a_route_type_and_of_no_others() -> None:
    call = Call(request_id=new_id(), accepted_at=now(), client_api="chat.completions")
    bound = caller(
        account_policy=policy(route_types=["direct", "pooled"]),
        project_policy=policy(route_types=["direct", "pooled", "subscription"]),
        policy=policy(route_types=["direct"]),
    )
    context = CallContext.model_validate_json(render_context(call, bound))
    assert [(limit.kind, limit.id, limit.route_types) for limit in context.route_limits] == [
        ("account", "acc_1", ["direct", "pooled"]),
        ("key", "Q7mZk2XvB9tL", ["direct"]),
    ]
    assert context.policy.route_types == ["direct"]
    assert b"route_limits" not in render_context(call, caller())


@pytest.mark.parametrize("name", ["charge_failed", "restart_streams"])
@pytest.mark.parametrize(
    ("said", "allowed"),
    [([None], False), ([True], True), ([True, None, None], True), ([True, False], False), ([None, False, True], False)],
)
def test_what_is_off_by_default_needs_one_that_permits_it_and_none_that_forbids_it(
    name: str, said: list[bool | None], *, allowed: bool
) -> None:
    assert getattr(effective(policy(**{name: each}) for each in said), name) is allowed


@pytest.mark.parametrize("body", [ProjectBody, KeyBody, InnerPolicyChange])
def test_only_an_account_may_permit_that_failed_attempts_are_charged(body: Any) -> None:
    of = {"account_id": "a", "project_id": "p", "name": "n"} if body is not InnerPolicyChange else {}
    of = {name: value for name, value in of.items() if name in body.model_fields}
    assert body.model_validate({**of, "policy": {"charge_failed": False}}).policy.charge_failed is False
    with pytest.raises(ValidationError):
        body.model_validate({**of, "policy": {"charge_failed": True}})
    assert PolicyChange.model_validate({"policy": {"charge_failed": True}}).policy is not None
