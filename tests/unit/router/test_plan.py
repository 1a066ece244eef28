"""Which candidates serve a request, and in which order."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from schemas.calls import Policy, RouteLimit
from services.router.catalog import Channel
from services.router.errors import RefusalError
from services.router.plan import Plan, SkipReason, make_plan
from tests.unit.router.things import catalog, channel, model

CATALOG = catalog(
    [channel("a"), channel("b"), channel("p", "pooled"), channel("s", "subscription")], [model("gpt-4o", "a", "b", "p", "s")]
)


def no_skip(_: Channel) -> SkipReason | None:
    return None


def planned(policy: Policy | None = None, model_id: str = "gpt-4o") -> Plan:
    return make_plan(CATALOG, model_id, policy or Policy(), no_skip, lambda: 0.5)


def names(plan: Plan) -> list[str]:
    return [place.channel.id for place in plan.places]


def test_the_order_of_the_file_is_primary_then_backups() -> None:
    assert names(planned()) == ["a", "b", "p", "s"]


def test_route_types_that_the_policy_does_not_allow_are_left_out() -> None:
    assert names(planned(Policy(route_types=["pooled", "direct"]))) == ["a", "b", "p"]


def test_without_fallback_only_the_primary_remains() -> None:
    assert names(planned(Policy(fallback=False))) == ["a"]


@pytest.mark.parametrize(
    ("policy", "model_id", "status", "code"),
    [
        (Policy(), "gpt-nope", 404, "model_not_found"),
        (Policy(models=["other"]), "gpt-nope", 404, "model_not_found"),
        (Policy(models=["other"]), "gpt-4o", 403, "model_not_allowed"),
        (Policy(route_types=[]), "gpt-4o", 403, "route_not_allowed"),
    ],
)
def test_what_may_not_be_asked_is_refused(policy: Policy, model_id: str, status: int, code: str) -> None:
    with pytest.raises(RefusalError) as caught:
        planned(policy, model_id)
    assert (caught.value.status, caught.value.code, caught.value.param) == (status, code, "model")


@pytest.mark.parametrize(
    ("limits", "subject", "kind"),
    [
        ([("account", ["pooled"]), ("key", ["direct"])], "this API key \\(direct\\)", "key"),
        ([("account", ["direct"]), ("project", []), ("key", ["direct"])], "this project \\(none\\)", "project"),
        ([("account", ["subscription"]), ("run", ["pooled"])], "the run id-of-run \\(pooled\\)", "run"),
        ([], "this API key \\(none\\)", None),
    ],
)
def test_a_refused_route_names_the_envelope_that_left_none(
    limits: list[tuple[Any, list[Any]]], subject: str, kind: str | None
) -> None:
    told = [RouteLimit(kind=kind, id=f"id-of-{kind}", route_types=types) for kind, types in limits]
    with pytest.raises(RefusalError, match=f"allowed to {subject} serves") as caught:
        make_plan(CATALOG, "gpt-4o", Policy(route_types=[]), no_skip, lambda: 0.5, route_limits=told)
    envelope = {"kind": kind, "id": f"id-of-{kind}", "window": None}
    assert caught.value.facts == ({} if kind is None else {"envelope": envelope})


def test_a_channel_that_rests_stays_in_the_plan_and_is_skipped() -> None:
    plan = make_plan(CATALOG, "gpt-4o", Policy(), lambda c: "circuit_open" if c.id == "a" else None, lambda: 0.5)
    assert names(plan) == ["a", "b", "p", "s"]
    assert plan.skips == ("circuit_open", None, None, None)
    assert plan.usable == [1, 2, 3]


def test_a_plan_whose_every_channel_rests_is_refused_for_a_moment() -> None:
    with pytest.raises(RefusalError) as caught:
        make_plan(CATALOG, "gpt-4o", Policy(fallback=False), lambda _: "cooldown", lambda: 0.5)
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (503, "upstream_unavailable", 2)


def test_priority_comes_before_the_order_of_the_file() -> None:
    of = catalog([channel("a", priority=2), channel("b"), channel("c", priority=1)], [model("gpt-4o", "a", "b", "c")])
    assert names(make_plan(of, "gpt-4o", Policy(), no_skip, lambda: 0.5)) == ["b", "c", "a"]


def test_equal_priorities_are_drawn_by_weight() -> None:
    of = catalog([channel("a", weight=3), channel("b", weight=1), channel("z", priority=9)], [model("gpt-4o", "a", "b", "z")])
    draw = Random(7).random
    plans = [names(make_plan(of, "gpt-4o", Policy(), no_skip, draw)) for _ in range(4000)]
    firsts = Counter(plan[0] for plan in plans)
    assert all(plan[2] == "z" for plan in plans)
    assert 2850 < firsts["a"] < 3150
