"""A dry run: the plan that a request would get, and for each candidate why it stands where it does or is left out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from schemas.calls import Policy, RouteLimit
from schemas.money import format_amount
from services.router.catalog import Model, Place
from services.router.freezes import Freeze
from services.router.plan import LIMIT_WORDS, SUBJECTS, Plan, SkipReason
from services.router.strategies import Views

Json = dict[str, Any]
SKIPPED: dict[SkipReason, str] = {
    "circuit_open": "it failed too often and rests",
    "cooldown": "all its keys rest, or it has none that can be used",
    "channel_frozen": "an operator took it out of use",
}
STRATEGIES = {
    "priority": "in the order of the table",
    "weighted": "drawn anew for each request, by weight; shown is the likeliest order",
    "cheapest": "by the price book, at three input tokens to one output token, within each bucket",
    "fastest": "by recent latency, within each bucket",
}


def explain(
    plan: Plan, policy: Policy, route_limits: Iterable[RouteLimit], views: Views, frozen: Mapping[str, Freeze] | None = None
) -> Json:
    """The plan as an operator reads it. The candidates of `plan` that no hold may cover are moved to `left_out`.

    `frozen` are the channels that operators took out of use.
    """
    model = plan.model
    first = views.prices.bucket_of(plan.places[0].channel.route_type)
    candidates: list[Json] = []
    left_out: list[Json] = []
    for index, place in enumerate(plan.places):
        shown = {**_shown(place, plan, views), **_standing(index, plan, views, frozen or {})}
        if shown["bucket"] != first and not policy.cross_bucket:
            why = f"{shown['bucket']} would pay for it, the plan begins with {first}, and nobody permits crossing buckets"
            left_out.append({**shown, "reason": "other_bucket", "why": why})
        else:
            candidates.append({"place": len(candidates) + 1, **shown})
    kept = {id(place) for place in plan.places}
    others = [place for place in model.places if id(place) not in kept]
    left_out += [{**_shown(place, plan, views), **_left_out(place, policy, route_limits)} for place in others]
    return {
        "model": model.id,
        "strategy": model.strategy,
        "strategy_means": STRATEGIES[model.strategy],
        "explore_percent": round(model.explore * 100) if model.strategy == "fastest" else None,
        "sticky_seconds": None if model.sticky is None else model.sticky.seconds,
        "price_version": views.prices.version,
        "max_attempts": plan.max_attempts,
        "candidates": candidates,
        "left_out": left_out,
    }


def _shown(place: Place, plan: Plan, views: Views) -> Json:
    item = views.prices.item_of(place)
    prices = None
    if item is not None:
        amounts = {name: format_amount(amount) for name, amount in item.prices.model_dump().items()}
        prices = {"currency": item.currency, "unit": "per_million_tokens", **amounts}
    recent_ms = views.recent_ms(place, views.stream)
    return {
        **place.candidate,
        "bucket": views.prices.bucket_of(place.channel.route_type),
        "priority": place.priority,
        "weight": place.weight if plan.model.strategy == "weighted" else None,
        "prices": prices,
        "recent_ms": None if recent_ms is None else round(recent_ms, 1),
    }


def _standing(index: int, plan: Plan, views: Views, frozen: Mapping[str, Freeze]) -> Json:
    place, skip = plan.places[index], plan.skips[index]
    sticky = index == 0 and plan.sticky_key is not None
    why = [f"priority {place.priority}", *_by_strategy(place, plan.model, views)]
    if sticky:
        why = ["a prompt cache there may know this request, which it answered last"]
    decided = frozen.get(place.channel.id)
    if decided is not None:
        why.append(f"taken out of use: {decided.said()}")
    elif skip is not None:
        why.append(f"skipped now: {_skipped(skip)}" if place.channel.keys else f"out of service: {place.channel.fault}")
    wait_s = plan.waits.get(index)
    free_in_s = None if wait_s is None else round(wait_s, 1)
    return {"sticky": sticky, "skipped": skip, "free_in_s": free_in_s, "why": "; ".join(why)}


def _by_strategy(place: Place, model: Model, views: Views) -> list[str]:
    if model.strategy == "weighted":
        rivals = [each.weight or 1 for each in model.places if each.priority == place.priority]
        return [f"weight {place.weight or 1} of {sum(rivals)} at this priority"]
    if model.strategy == "cheapest":
        item = views.prices.item_of(place)
        if item is None:
            return ["no price is published for it"]
        amounts = f"{format_amount(item.prices.input)} in, {format_amount(item.prices.output)} out"
        return [f"{amounts} {item.currency} per million tokens"]
    if model.strategy == "fastest":
        recent_ms = views.recent_ms(place, views.stream)
        what = "first chunk" if views.stream else "reply"
        return [
            "never measured here, so that it is tried first" if recent_ms is None else f"{what} in {recent_ms:.0f} ms of late"
        ]
    return [f"candidate {model.places.index(place) + 1} of the model"]


def _skipped(skip: SkipReason) -> str:
    return SKIPPED.get(skip) or f"it is at its limit of {LIMIT_WORDS[skip]}"


def _left_out(place: Place, policy: Policy, route_limits: Iterable[RouteLimit]) -> Json:
    route_type = place.channel.route_type
    if route_type in policy.route_types:
        return {"reason": "fallback_off", "why": "the policy allows no fallback, so that the first candidate is the only one"}
    limit = next((each for each in route_limits if route_type not in each.route_types), None)
    subject = "the policy"
    if limit is not None:
        subject = SUBJECTS.get(limit.kind) or f"the {limit.kind} {limit.id}"
    return {"reason": "route_type_not_allowed", "why": f"{subject} does not allow {route_type} routes"}
