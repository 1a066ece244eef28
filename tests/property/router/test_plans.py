"""Whatever the table, the prices, the latencies and the chance: a plan obeys the policy, the priorities and the buckets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from schemas.attempts import RouteType
from schemas.calls import Policy
from schemas.ledger import PriceItem
from schemas.money import Prices
from services.router.catalog import Catalog, Channel, Place
from services.router.errors import RefusalError
from services.router.plan import Plan, Preference, SkipReason, make_plan
from services.router.price_view import price_view
from services.router.strategies import Views
from services.router.table import Strategy
from tests.unit.router.things import catalog, channel, model

ROUTE_TYPES: tuple[RouteType, ...] = get_args(RouteType)
BUCKETS = {"direct": "credit", "pooled": "wallet", "subscription": "wallet"}
REASONS: tuple[SkipReason, ...] = ("circuit_open", "cooldown", "request_limit", "token_limit", "concurrency_limit")


@dataclass(frozen=True)
class World:
    """A table with one model, and what is known of its channels."""

    of: Catalog
    strategy: Strategy
    policy: Policy
    prices: dict[str, int]
    speeds: dict[str, float]
    skips: dict[str, SkipReason]
    preference: Preference | None
    draws: list[float]

    def plan(self, *, prices: dict[str, int] | None = None, speeds: dict[str, float] | None = None) -> Plan:
        """The plan, with other prices or latencies where they are given."""
        told, fast = self.prices if prices is None else prices, self.speeds if speeds is None else speeds
        kinds = {channel.id: channel.route_type for channel in self.of.channels.values()}
        items = [
            PriceItem(
                route_type=kinds[id_], model=f"up-{id_}", currency=BUCKETS[kinds[id_]],
                prices=Prices(input=price, cached_input=price, cache_write=price, output=price),
            )
            for id_, price in told.items()
        ]  # fmt: skip

        def recent_ms(place: Place, _: bool) -> float | None:
            return fast.get(place.channel.id)

        def condition(of: Channel) -> SkipReason | None:
            return self.skips.get(of.id)

        views = Views(self._draw(), prices=price_view(1, BUCKETS, items), recent_ms=recent_ms)
        return make_plan(self.of, "m", self.policy, condition, self._draw(), views=views, preference=self.preference)

    def _draw(self) -> Callable[[], float]:
        left = iter(self.draws * 40)
        return lambda: next(left)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    count = draw(st.integers(1, 6))
    ids = [f"c{number}" for number in range(count)]
    weights = st.one_of(st.none(), st.integers(1, 50))
    channels = [
        channel(id_, draw(st.sampled_from(ROUTE_TYPES)), priority=draw(st.integers(0, 2)), weight=draw(weights)) for id_ in ids
    ]
    strategy: Strategy = draw(st.sampled_from(get_args(Strategy)))
    candidates: list[dict[str, Any]] = [{"channel": id_, "upstream_model": f"up-{id_}"} for id_ in ids]
    more: dict[str, Any] = {"strategy": strategy}
    if strategy == "fastest":
        more["explore_percent"] = draw(st.integers(0, 50))
    some = st.sampled_from(ids)
    return World(
        of=catalog(channels, [model("m", **more) | {"candidates": candidates}]),
        strategy=strategy,
        policy=Policy(
            route_types=draw(st.lists(st.sampled_from(ROUTE_TYPES), unique=True)),
            fallback=draw(st.booleans()),
            cross_bucket=draw(st.booleans()),
        ),
        prices=draw(st.dictionaries(some, st.integers(0, 10**12))),
        speeds=draw(st.dictionaries(some, st.floats(0.1, 60_000))),
        skips=draw(st.dictionaries(some, st.sampled_from(REASONS))),
        preference=draw(st.one_of(st.none(), some.map(lambda id_: Preference(id_, f"up-{id_}", 0)))),
        draws=draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=8)),
    )


def planned(world: World, **other: Any) -> Plan | RefusalError:
    try:
        return world.plan(**other)
    except RefusalError as refusal:
        return refusal


@given(worlds())
def test_a_plan_has_every_allowed_candidate_once_or_is_a_refusal_that_says_when_or_why(world: World) -> None:
    plan = planned(world)
    allowed = [
        place.channel.id for place in world.of.models["m"].places if place.channel.route_type in world.policy.route_types
    ]
    if isinstance(plan, RefusalError):
        if plan.status == 403:
            assert allowed == []
        else:
            assert (plan.status, plan.code) in {(429, "rate_limited"), (503, "upstream_unavailable")}
            assert plan.retry_after_s is not None
        return
    found = [place.channel.id for place in plan.places]
    assert found[0] in allowed
    assert sorted(found) == sorted(allowed if world.policy.fallback else found[:1])
    assert list(plan.skips) == [world.skips.get(id_) for id_ in found]
    assert set(plan.waits) == {index for index, skip in enumerate(plan.skips) if skip is not None}


@given(worlds())
def test_priorities_never_go_down_but_for_the_one_place_that_a_prompt_cache_knows(world: World) -> None:
    plan = planned(world)
    if isinstance(plan, RefusalError):
        return
    ordered = plan.places[1:] if plan.sticky_key is not None else plan.places
    assert [place.priority for place in ordered] == sorted(place.priority for place in ordered)


@given(worlds(), st.data())
def test_no_price_and_no_latency_decides_which_bucket_pays(world: World, data: st.DataObject) -> None:
    if world.strategy == "weighted":
        return
    ids = st.sampled_from(list(world.of.channels))
    other = planned(
        world,
        prices=data.draw(st.dictionaries(ids, st.integers(0, 10**12))),
        speeds=data.draw(st.dictionaries(ids, st.floats(0.1, 60_000))),
    )
    plan = planned(world)
    if isinstance(plan, RefusalError) or isinstance(other, RefusalError):
        return
    first = [BUCKETS[each.places[0].channel.route_type] for each in (plan, other)]
    assert first[0] == first[1]


@given(worlds())
def test_of_one_priority_and_bucket_the_cheapest_comes_first(world: World) -> None:
    plan = planned(world)
    if isinstance(plan, RefusalError) or world.strategy != "cheapest" or plan.sticky_key is not None:
        return
    for one, other in zip(plan.places, plan.places[1:], strict=False):
        if one.priority == other.priority and BUCKETS[one.channel.route_type] == BUCKETS[other.channel.route_type]:
            dearest = 10**13
            assert world.prices.get(one.channel.id, dearest) <= world.prices.get(other.channel.id, dearest)
