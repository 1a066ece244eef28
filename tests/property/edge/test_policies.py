"""Whatever policies envelopes have: one more never permits what was refused, and a refusal always has its author."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.errors import ForbiddenError
from services.edge.policies import EnvelopePolicy, effective
from tests.unit.edge.values import caller

MODELS = ["a", "b", "c", "*"]
ROUTE_TYPES = ["direct", "pooled", "subscription"]
policies = st.builds(
    EnvelopePolicy,
    models=st.none() | st.lists(st.sampled_from(MODELS), unique=True),
    route_types=st.none() | st.lists(st.sampled_from(ROUTE_TYPES), unique=True),
    fallback=st.none() | st.booleans(),
    cross_bucket=st.none() | st.booleans(),
    max_attempts=st.none() | st.integers(1, 10),
)


@given(st.lists(policies, max_size=3), policies)
def test_a_further_policy_only_narrows(around: list[EnvelopePolicy], within: EnvelopePolicy) -> None:
    wide, narrow = effective(around), effective([*around, within])
    assert all(wide.allows_model(model) for model in "abcd" if narrow.allows_model(model))
    assert set(narrow.route_types) <= set(wide.route_types)
    assert wide.fallback or not narrow.fallback
    forbidden = any(policy.cross_bucket is False for policy in around)
    assert not (forbidden and narrow.cross_bucket)
    said = [policy.max_attempts for policy in around if policy.max_attempts is not None]
    assert not said or narrow.max_attempts <= wide.max_attempts


@given(st.lists(policies, max_size=4))
def test_the_order_of_policies_changes_nothing_that_is_allowed(each: list[EnvelopePolicy]) -> None:
    one, other = effective(each), effective(reversed(each))
    assert [one.allows_model(model) for model in "abcd"] == [other.allows_model(model) for model in "abcd"]
    assert (set(one.route_types), one.fallback, one.cross_bucket, one.max_attempts) == (
        set(other.route_types),
        other.fallback,
        other.cross_bucket,
        other.max_attempts,
    )


@given(st.none() | policies, st.none() | policies, st.none() | policies, st.sampled_from("abcd"))
def test_a_model_passes_or_its_refusal_names_an_envelope_that_does_not_list_it(
    account: EnvelopePolicy | None, project: EnvelopePolicy | None, key: EnvelopePolicy | None, model: str
) -> None:
    bound = caller(account_policy=account, project_policy=project, policy=key)
    by_kind = {"account": account, "project": project, "key": key}
    refusing = [kind for kind, policy in by_kind.items() if policy is not None and not policy.allows_model(model)]
    if not refusing:
        bound.require_model(model)
        return
    with pytest.raises(ForbiddenError) as refused:
        bound.require_model(model)
    assert refused.value.facts["envelope"]["kind"] == refusing[0]
