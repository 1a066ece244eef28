"""The dry run's reasons: why each candidate stands where it does, and why others are left out."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.calls import Policy, RouteLimit
from services.router.catalog import Channel, Place, compile_catalog
from services.router.explain import explain
from services.router.plan import Preference, SkipReason, laid_out, nothing_usable
from services.router.strategies import Views
from services.router.table import RouteTable
from tests.unit.router.test_strategies import prices, serving
from tests.unit.router.things import channel, model

TABLE = RouteTable.model_validate({"channels": [channel("d1"), channel("d2")], "models": [model("m", "d1", "d2")]})
PRICES = prices(dear=("direct", "5", "30"), cheap=("direct", "0.1", "0.4"), pool=("pooled", "1", "4"))


def recent_ms(place: Place, stream: bool) -> float | None:
    return {"d1": 340.0}.get(place.channel.id) if stream else None


def explained(
    strategy: str,
    *places: tuple[str, str],
    policy: Policy | None = None,
    limits: list[RouteLimit] | None = None,
    skips: dict[str, SkipReason] | None = None,
    preference: Preference | None = None,
    **more: Any,
) -> dict[str, Any]:
    policy, of = policy or Policy(), serving(strategy, *places, **more)
    views = Views(lambda: 0.999, stream=True, prices=PRICES, recent_ms=recent_ms)
    allowed = [place for place in of.models["m"].places if place.channel.route_type in policy.route_types]

    def condition(channel: Channel) -> SkipReason | None:
        return (skips or {}).get(channel.id)

    plan = laid_out(
        of.models["m"], allowed, policy, condition=condition, views=views, wait_s=lambda _: 7.25, preference=preference
    )
    return explain(plan, policy, limits or [], views)


def whys(found: dict[str, Any]) -> list[str]:
    return [f"{each['channel']}: {each['why']}" for each in found["candidates"]]


def test_cheapest_names_the_prices_that_it_compared() -> None:
    found = explained("cheapest", ("d1", "dear"), ("d2", "cheap"), ("d3", "unpriced"))
    assert whys(found) == [
        "d2: priority 0; 0.10 in, 0.40 out USD per million tokens",
        "d1: priority 0; 5.00 in, 30.00 out USD per million tokens",
        "d3: priority 0; no price is published for it",
    ]
    assert found["candidates"][0]["prices"]["input"] == "0.10"
    assert (found["strategy"], found["price_version"]) == ("cheapest", 7)


def test_fastest_names_the_latency_that_it_compared() -> None:
    found = explained("fastest", ("d1", "dear"), ("d2", "cheap"))
    assert whys(found) == [
        "d2: priority 0; never measured here, so that it is tried first",
        "d1: priority 0; first chunk in 340 ms of late",
    ]
    assert found["explore_percent"] == 5


def test_weighted_names_the_share_and_puts_the_likeliest_first() -> None:
    rows = [channel("d1", weight=1), channel("d2", weight=3), channel("d3", priority=2, weight=5)]
    found = explained("weighted", ("d1", "a"), ("d2", "a"), ("d3", "a"), channels=rows)
    assert whys(found) == [
        "d2: priority 0; weight 3 of 4 at this priority",
        "d1: priority 0; weight 1 of 4 at this priority",
        "d3: priority 2; weight 5 of 5 at this priority",
    ]


def test_a_sticky_place_says_so() -> None:
    found = explained("priority", ("d1", "a"), ("d2", "a"), preference=Preference("d2", "a", 0), sticky={"seconds": 60})
    assert found["candidates"][0]["sticky"]
    assert whys(found)[0] == "d2: a prompt cache there may know this request, which it answered last"
    assert found["sticky_seconds"] == 60


@pytest.mark.parametrize(
    ("skip", "said"),
    [
        ("circuit_open", "it failed too often and rests"),
        ("cooldown", "all its keys rest, or it has none that can be used"),
        ("request_limit", "it is at its limit of requests per minute"),
        ("token_limit", "it is at its limit of tokens per minute"),
        ("concurrency_limit", "it is at its limit of requests at once"),
    ],
)
def test_a_skipped_candidate_keeps_its_place_and_says_why_and_for_how_long(skip: SkipReason, said: str) -> None:
    first, second = explained("priority", ("d1", "a"), ("d2", "a"), skips={"d1": skip})["candidates"]
    assert (first["channel"], first["skipped"], first["free_in_s"]) == ("d1", skip, 7.2)
    assert first["why"].endswith(f"skipped now: {said}")
    assert (second["skipped"], second["free_in_s"]) == (None, None)


def test_a_candidate_whose_channel_is_out_of_service_says_what_is_missing() -> None:
    of = compile_catalog(1, TABLE, {"d1": (), "d2": ("sk",)}, {"d1": "the environment variable D1_KEY is not set"})
    views = Views(lambda: 0.5, stream=True, prices=PRICES, recent_ms=recent_ms)

    def condition(channel: Channel) -> SkipReason | None:
        return None if channel.keys else "cooldown"

    model_of = of.models["m"]
    plan = laid_out(
        model_of, list(model_of.places), Policy(), condition=condition, views=views, wait_s=lambda _: 30, preference=None
    )
    first, second = explain(plan, Policy(), [], views)["candidates"]
    assert first["why"].endswith("out of service: the environment variable D1_KEY is not set")
    assert (first["skipped"], second["skipped"]) == ("cooldown", None)
    assert "is out of service" in str(nothing_usable(plan._replace(skips=("cooldown",)), [0]))


def test_another_bucket_is_left_out_unless_crossing_is_permitted() -> None:
    places = (("d1", "dear"), ("p1", "pool"))
    [left] = explained("priority", *places)["left_out"]
    assert (left["channel"], left["reason"]) == ("p1", "other_bucket")
    assert left["why"] == "wallet would pay for it, the plan begins with credit, and nobody permits crossing buckets"
    crossing = explained("priority", *places, policy=Policy(cross_bucket=True))
    assert ([each["channel"] for each in crossing["candidates"]], crossing["left_out"]) == (["d1", "p1"], [])


def test_what_the_policy_leaves_out_names_who_did() -> None:
    policy = Policy(route_types=["direct"])
    limits = [RouteLimit(kind="project", id="prj", route_types=["direct"])]
    [left] = explained("priority", ("d1", "a"), ("p1", "a"), policy=policy, limits=limits)["left_out"]
    assert (left["reason"], left["why"]) == ("route_type_not_allowed", "this project does not allow pooled routes")
    [left] = explained("priority", ("d1", "a"), ("d2", "a"), policy=Policy(fallback=False))["left_out"]
    assert (left["channel"], left["reason"]) == ("d2", "fallback_off")
