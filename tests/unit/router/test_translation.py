"""What a provider has no word for is found out before anything is held or counted for it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import orjson
import pytest

from services.router.buckets import Buckets
from services.router.call import Call
from services.router.catalog import Catalog
from services.router.errors import RefusalError
from services.router.funding import Funding
from services.router.holds import HoldCoalescer
from services.router.plan import SkipReason, make_plan
from services.router.progress import ProgressReporter
from services.router.tightening import Tightener
from services.router.translation import said, told
from tests.unit.router.things import ask, call, catalog, channel, context, grant, model

BIASED: dict[str, Any] = {"logit_bias": {"1": 1}}
"""Only OpenAI has a word for it."""
MIXED = catalog(
    [channel("a", dialect="anthropic"), channel("o"), channel("g", dialect="gemini")], [model("gpt-4o", "a", "o", "g")]
)
WORDLESS = catalog(
    [channel("a", dialect="anthropic"), channel("g", dialect="gemini")], [model("gpt-4o", "a", "g", max_output_tokens=100)]
)


class Till:
    """Grants every hold, and keeps what was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def hold(self, request: Any) -> Any:
        self.asked.append([each.channel for each in request.candidates])
        return grant(len(request.candidates))

    async def fit(self, _: Call) -> None:
        """Leaves every bound as it is."""


def unfunded(of: Catalog, skips: dict[str, SkipReason] | None = None, **body: Any) -> Call:
    request, policy = ask(**body), context().policy
    plan = make_plan(of, request.model, policy, lambda each: (skips or {}).get(each.id), lambda: 0.5)
    return Call(context(), request, plan, begun=100.0, deadline_s=600)


def secured(till: Till, of: Call) -> Call:
    funding = Funding(cast(HoldCoalescer, till), Buckets(), cast(ProgressReporter, None), cast(Tightener, till))
    asyncio.run(funding.secure(of, 60))
    return of


def test_no_hold_is_asked_for_a_candidate_that_cannot_be_told_the_request() -> None:
    till = Till()
    paid = secured(till, unfunded(MIXED, **BIASED))
    assert (till.asked, sorted(paid.covers), list(paid.unsaid)) == ([["o", "g"]], [1, 2], [0])


def test_where_none_can_be_told_it_the_request_is_refused_by_the_parameters_name_before_any_hold() -> None:
    till = Till()
    with pytest.raises(RefusalError) as refused:
        secured(till, unfunded(WORDLESS, **BIASED))
    assert (refused.value.status, refused.value.code, refused.value.param) == (400, "unsupported_parameter", "logit_bias")
    assert till.asked == []


def test_where_the_one_that_could_be_told_it_rests_the_client_is_told_to_come_again() -> None:
    for reason, status in (("request_limit", 429), ("circuit_open", 503)):
        till = Till()
        with pytest.raises(RefusalError) as refused:
            secured(till, unfunded(MIXED, {"o": cast(SkipReason, reason)}, **BIASED))
        assert (refused.value.status, refused.value.retry_after_s, till.asked) == (status, 2, [])


def test_candidates_that_can_be_told_it_are_held_for_in_their_order() -> None:
    till = Till()
    secured(till, unfunded(MIXED))
    assert till.asked == [["a", "o", "g"]]
    assert told(unfunded(MIXED), [2, 0], []) == [2, 0]


def test_a_request_is_put_into_words_again_only_for_another_cap_or_candidate() -> None:
    request = call(MIXED, ask(max_tokens=40))
    first = said(request, 1)
    assert said(request, 1) is first
    assert orjson.loads(first)["max_tokens"] == 100
    request.covers[1] = request.covers[1]._replace(grant=grant(3, cap=30))
    assert orjson.loads(said(request, 1))["max_tokens"] == 30
    del request.covers[1]
    assert orjson.loads(said(request, 1))["max_tokens"] == 40


def test_a_value_that_breaks_a_dialect_costs_that_candidate_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    request = unfunded(MIXED)

    def broken(*_: object) -> bytes:
        raise RecursionError

    monkeypatch.setattr("services.router.dialects.anthropic.Anthropic.request_body", broken)
    assert told(request, [0, 1], []) == [1]
    assert request.unsaid[0].error_class == "internal"
    with pytest.raises(RefusalError) as refused:
        told(request, [0], [])
    assert refused.value.status == 502
