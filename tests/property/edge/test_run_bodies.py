"""Whatever JSON a client sends about runs and estimates: it is understood whole or refused by its name, never stumbled over."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from services.edge.errors import InvalidRequestError
from services.edge.run_bodies import EstimateBody, ExtensionBody, NothingBody, RunBody, parse_body

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["5.00", "1d", "direct"])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
NAMES = [*RunBody.model_fields, *EstimateBody.model_fields, "low", "nope"]
payloads = st.dictionaries(st.sampled_from(NAMES), anything, max_size=6)
budgets = st.dictionaries(st.sampled_from(["credit", "wallet"]), st.sampled_from(["5.00", "0.000000001", "20"]), min_size=1)


@given(payloads, st.sampled_from([RunBody, ExtensionBody, NothingBody, EstimateBody]))
def test_any_payload_is_understood_or_refused(payload: dict[str, Any], model: type[BaseModel]) -> None:
    given_names = {name for name, value in payload.items() if value is not None}
    try:
        parsed = parse_body(model, payload)
    except InvalidRequestError as error:
        refused = error
    else:
        assert parsed.model_fields_set == given_names <= set(model.model_fields)
        return
    assert refused.status == 400
    assert refused.message.endswith(".")


@given(
    budgets,
    st.sampled_from(NAMES).filter(lambda name: name not in RunBody.model_fields),
    anything.filter(lambda v: v is not None),
)
def test_no_unknown_member_goes_unnoticed(budget: dict[str, str], name: str, value: Any) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse_body(RunBody, {"budget": budget, name: value})
    assert (refused.value.code, refused.value.param) == ("unknown_parameter", name)


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.floats(0, 1))
def test_a_figure_is_a_range_without_width(tokens: int, more: int, share: float) -> None:
    item = {"model": "m", "input_tokens": tokens, "output_tokens": {"low": min(tokens, more), "high": max(tokens, more)}}
    (parsed,) = parse_body(EstimateBody, {"items": [item | {"cached_share": share}]}).items
    assert (parsed.input_tokens.low, parsed.input_tokens.high) == (tokens, tokens)
    assert parsed.output_tokens.low <= parsed.output_tokens.high
