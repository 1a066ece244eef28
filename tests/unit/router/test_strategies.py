"""The order that each strategy gives, and where stickiness and buckets come before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from schemas.calls import Policy
from schemas.ledger import PriceItem
from schemas.money import Prices
from services.router.catalog import Catalog, Channel, Place
from services.router.errors import RefusalError
from services.router.plan import Preference, SkipReason, make_plan
from services.router.price_view import PriceView, price_view
from services.router.strategies import Views
from tests.unit.router.things import catalog, channel, model

BUCKETS = {"direct": "credit", "pooled": "wallet", "subscription": "wallet"}
CURRENCY = {"credit": "USD", "wallet": "CNY"}


def prices(**by_model: tuple[str, str, str]) -> PriceView:
    """`name=(route type, input, output)`; an underscore in a name stands for a dash."""
    items = [
        PriceItem(
            route_type=type_,
            model=name.replace("_", "-"),
            currency=CURRENCY[BUCKETS[type_]],
            prices=Prices.parse(input_, output),
        )
        for name, (type_, input_, output) in by_model.items()
    ]
    return price_view(7, BUCKETS, items)


def serving(strategy: str, *places: tuple[str, str], channels: list[dict[str, Any]] | None = None, **more: Any) -> Catalog:
    """One model `m` at (channel, upstream model); a channel's name begins with its route type's first letter."""
    types = {"d": "direct", "p": "pooled", "s": "subscription"}
    rows = channels or [channel(id_, types[id_[0]]) for id_ in dict.fromkeys(id_ for id_, _ in places)]
    candidates = [{"channel": id_, "upstream_model": upstream} for id_, upstream in places]
    return catalog(rows, [model("m", strategy=strategy, **more) | {"candidates": candidates}])


def may_call(_: Channel) -> SkipReason | None:
    return None


def order(of: Catalog, *, views: Views | None = None, **more: Any) -> list[str]:
    plan = make_plan(of, "m", more.pop("policy", Policy()), may_call, lambda: 0.5, views=views, **more)
    return [f"{place.channel.id}/{place.upstream_model}" for place in plan.places]


def at(view: PriceView) -> Views:
    return Views(lambda: 0.5, prices=view)


def measured(by_channel: dict[str, float], draw: Callable[[], float] = lambda: 0.5, *, stream: bool = False) -> Views:
    def recent_ms(place: Place, of_stream: bool) -> float | None:
        return by_channel.get(place.channel.id) if of_stream is stream else 1.0

    return Views(draw, stream=stream, prices=prices(), recent_ms=recent_ms)


def test_the_cheapest_of_a_bucket_comes_first() -> None:
    of = serving("cheapest", ("d1", "dear"), ("d2", "cheap"), ("d3", "middle"))
    view = prices(dear=("direct", "5", "30"), cheap=("direct", "0.1", "0.4"), middle=("direct", "1", "4"))
    assert order(of, views=at(view)) == ["d2/cheap", "d3/middle", "d1/dear"]


def test_prices_are_compared_at_three_tokens_in_to_one_out() -> None:
    of = serving("cheapest", ("d1", "a"), ("d2", "b"))
    assert order(of, views=at(prices(a=("direct", "1", "10"), b=("direct", "3", "3")))) == ["d2/b", "d1/a"]
    assert order(of, views=at(prices(a=("direct", "1", "8"), b=("direct", "3", "3")))) == ["d1/a", "d2/b"]


@pytest.mark.parametrize("first", ["direct", "pooled"])
def test_buckets_come_in_the_models_own_order_however_small_a_number_in_another_currency_is(first: str) -> None:
    places = [("d1", "a"), ("p1", "b"), ("d2", "c")]
    of = serving("cheapest", *(places if first == "direct" else [places[1], places[0], places[2]]))
    view = prices(a=("direct", "5", "5"), b=("pooled", "0.01", "0.01"), c=("direct", "4", "4"))
    expected = ["d2/c", "d1/a", "p1/b"] if first == "direct" else ["p1/b", "d2/c", "d1/a"]
    assert order(of, views=at(view)) == expected


def test_route_types_of_one_bucket_are_compared_with_each_other() -> None:
    of = serving("cheapest", ("p1", "a"), ("s1", "b"))
    assert order(of, views=at(prices(a=("pooled", "9", "9"), b=("subscription", "1", "1")))) == ["s1/b", "p1/a"]


def test_while_no_price_book_was_read_nothing_is_compared() -> None:
    of = serving("cheapest", ("s1", "b"), ("p1", "a"), ("p2", "c"))
    assert order(of) == ["s1/b", "p1/a", "p2/c"]


def test_a_place_without_a_price_comes_last_in_its_bucket() -> None:
    of = serving("cheapest", ("d1", "unpriced"), ("d2", "a"), ("p1", "b"))
    view = prices(a=("direct", "5", "5"), b=("pooled", "1", "1"))
    assert order(of, views=at(view)) == ["d2/a", "d1/unpriced", "p1/b"]


def test_of_places_at_the_same_price_the_one_that_costs_the_operator_less_comes_first() -> None:
    rows = [channel("d1"), channel("d2", cost_factor="0.90"), channel("d3", cost_factor="0.805")]
    of = serving("cheapest", ("d1", "a"), ("d2", "a"), ("d3", "a"), channels=rows)
    assert order(of, views=at(prices(a=("direct", "5", "5")))) == ["d3/a", "d2/a", "d1/a"]


def test_priority_comes_before_price() -> None:
    rows = [channel("d1", priority=1), channel("d2")]
    of = serving("cheapest", ("d1", "cheap"), ("d2", "dear"), channels=rows)
    view = prices(cheap=("direct", "1", "1"), dear=("direct", "9", "9"))
    assert order(of, views=at(view)) == ["d2/dear", "d1/cheap"]


def test_the_fastest_comes_first_and_what_was_never_measured_before_it() -> None:
    of = serving("fastest", ("d1", "a"), ("d2", "a"), ("d3", "a"))
    assert order(of, views=measured({"d1": 300.0, "d2": 80.0, "d3": 120.0})) == ["d2/a", "d3/a", "d1/a"]
    assert order(of, views=measured({"d1": 300.0, "d2": 80.0})) == ["d3/a", "d2/a", "d1/a"]


def test_streams_are_ordered_by_their_first_chunk() -> None:
    of = serving("fastest", ("d1", "a"), ("d2", "a"))
    assert order(of, views=measured({"d1": 300.0, "d2": 80.0}, stream=True)) == ["d2/a", "d1/a"]


def test_speed_never_changes_which_bucket_pays() -> None:
    of = serving("fastest", ("d1", "a"), ("p1", "a"), ("d2", "a"))
    assert order(of, views=measured({"d1": 900.0, "p1": 1.0, "d2": 800.0})) == ["d2/a", "d1/a", "p1/a"]


def test_a_share_of_requests_explores_each_other_place_of_the_first_bucket_and_priority() -> None:
    rows = [channel("d1"), channel("d2"), channel("d3"), channel("d4", priority=1), channel("p1", "pooled")]
    places = [(row["id"], "a") for row in rows]
    of = serving("fastest", *places, channels=rows, explore_percent=20)
    speeds = {"d1": 10.0, "d2": 200.0, "d3": 300.0, "d4": 1.0, "p1": 1.0}
    draw = Random(3).random
    firsts = Counter(order(of, views=measured(speeds, draw))[0] for _ in range(4000))
    assert set(firsts) == {"d1/a", "d2/a", "d3/a"}
    assert 3100 < firsts["d1/a"] < 3300
    assert abs(firsts["d2/a"] - firsts["d3/a"]) < 120


def test_exploring_can_be_switched_off() -> None:
    of = serving("fastest", ("d1", "a"), ("d2", "a"), explore_percent=0)
    assert order(of, views=measured({"d1": 10.0, "d2": 20.0}, lambda: 0.0)) == ["d1/a", "d2/a"]


def test_the_strategy_priority_does_not_look_at_weights_of_channels() -> None:
    rows = [channel("d1", weight=1), channel("d2", weight=1000)]
    of = serving("priority", ("d1", "a"), ("d2", "a"), channels=rows)
    assert {tuple(order(of, views=Views(Random(n).random))) for n in range(20)} == {("d1/a", "d2/a")}


def test_weighted_without_weights_shares_evenly() -> None:
    of = serving("weighted", ("d1", "a"), ("d2", "a"))
    draw = Random(5).random
    firsts = Counter(order(of, views=Views(draw))[0] for _ in range(2000))
    assert abs(firsts["d1/a"] - 1000) < 100


def test_what_a_prompt_cache_may_know_goes_where_it_went_before() -> None:
    of = serving("priority", ("d1", "a"), ("d2", "a"), ("p1", "a"), sticky={"seconds": 60})
    plan = make_plan(of, "m", Policy(), may_call, lambda: 0.5, preference=Preference("d2", "a", 3))
    assert [place.channel.id for place in plan.places] == ["d2", "d1", "p1"]
    assert plan.sticky_key == 3


@pytest.mark.parametrize("preference", [Preference("p1", "a", 0), Preference("d2", "other", 0), Preference("gone", "a", 0)])
def test_stickiness_leads_to_no_other_bucket_model_or_channel(preference: Preference) -> None:
    of = serving("priority", ("d1", "a"), ("d2", "a"), ("p1", "a"))
    plan = make_plan(of, "m", Policy(), may_call, lambda: 0.5, preference=preference)
    assert [place.channel.id for place in plan.places] == ["d1", "d2", "p1"]
    assert plan.sticky_key is None


def test_stickiness_leads_to_no_channel_that_rests() -> None:
    of = serving("priority", ("d1", "a"), ("d2", "a"))

    def condition(of: Channel) -> SkipReason | None:
        return "circuit_open" if of.id == "d2" else None

    plan = make_plan(of, "m", Policy(), condition, lambda: 0.5, preference=Preference("d2", "a", 0))
    assert [place.channel.id for place in plan.places] == ["d1", "d2"]


def test_without_fallback_the_sticky_place_is_the_only_one() -> None:
    of = serving("priority", ("d1", "a"), ("d2", "a"))
    assert order(of, policy=Policy(fallback=False), preference=Preference("d2", "a", 0)) == ["d2/a"]


@pytest.mark.parametrize(
    ("reasons", "status", "code", "said", "seconds"),
    [
        (
            ("request_limit", "request_limit"),
            429,
            "rate_limited",
            "at its limit (requests per minute); nothing",
            12,
        ),
        (("token_limit", "concurrency_limit"), 429, "rate_limited", "(tokens per minute, requests at once)", 12),
        (("circuit_open", "cooldown"), 503, "upstream_unavailable", "resting after failures. Try again in 12 seconds.", 12),
        (("circuit_open", "token_limit"), 503, "upstream_unavailable", "or at its limit (tokens per minute)", 12),
    ],
)
def test_a_plan_of_which_nothing_may_be_called_says_why_and_when_to_try_again(
    reasons: tuple[SkipReason, SkipReason], status: int, code: str, said: str, seconds: int
) -> None:
    of = serving("priority", ("d1", "a"), ("d2", "a"))
    by_channel = dict(zip(("d1", "d2"), reasons, strict=True))
    waits = {"d1": 31.0, "d2": 11.2}
    with pytest.raises(RefusalError) as caught:
        make_plan(of, "m", Policy(), lambda c: by_channel[c.id], lambda: 0.5, wait_s=lambda c: waits[c.id])
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (status, code, seconds)
    assert said in caught.value.message
