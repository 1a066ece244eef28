"""Which candidates may serve a request, and in which order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil
from typing import Literal, NamedTuple, get_args

from schemas.calls import Policy, RouteLimit
from services.router.catalog import Catalog, Channel, Model, Place
from services.router.errors import RefusalError
from services.router.freezes import Freeze
from services.router.limits import LimitReason
from services.router.strategies import Views, bucket_ranks, ordered

SkipReason = Literal["circuit_open", "cooldown", "channel_frozen"] | LimitReason
LIMIT_REASONS = frozenset(get_args(LimitReason))
SUBJECTS = {"account": "this account", "project": "this project", "key": "this API key"}
LIMIT_WORDS: dict[SkipReason, str] = {
    "request_limit": "requests per minute",
    "token_limit": "tokens per minute",
    "concurrency_limit": "requests at once",
}
Condition = Callable[[Channel], SkipReason | None]
"""Why a channel must not be called now, None where it may."""
WaitS = Callable[[Channel], float]
"""Seconds after which a channel may be called, as far as that is known."""


class Preference(NamedTuple):
    """Where a prompt cache may know the request: a place, and the index of its channel's key."""

    channel: str
    upstream_model: str
    key: int


class Plan(NamedTuple):
    """The ordered candidates of one request. `skips[i]` says why candidate i was passed over when the plan was made.

    `max_attempts` bounds the upstream calls over all candidates. `waits` says of the skipped after how many seconds they may
    be called. `sticky_key` is the key that the first candidate was last asked with, where it comes first for its prompt cache.
    `table_version` is the version of the table that it was made by, `frozen` are the channels that were frozen then.
    """

    model: Model
    places: tuple[Place, ...]
    skips: tuple[SkipReason | None, ...]
    max_attempts: int
    waits: Mapping[int, float] = {}
    sticky_key: int | None = None
    table_version: int | None = None
    frozen: Mapping[str, Freeze] = {}

    @property
    def usable(self) -> list[int]:
        """Indexes of the candidates that may be called."""
        return [index for index, skip in enumerate(self.skips) if skip is None]


def make_plan(
    catalog: Catalog,
    model_id: str,
    policy: Policy,
    condition: Condition,
    draw: Callable[[], float],
    *,
    route_limits: Sequence[RouteLimit] = (),
    views: Views | None = None,
    wait_s: WaitS = lambda _: 2.0,
    preference: Preference | None = None,
    frozen: Mapping[str, Freeze] = {},
) -> Plan:
    """The plan for a request. Raises :class:`RefusalError` where the policy or the table leaves nothing to call.

    Candidates come by priority (lower first), and those of equal priority by the model's strategy. The preferred place comes
    first of all, if it may be called and its bucket is that of the first. Without permission to fall back only the first is
    left.
    """
    model = model_named(catalog, model_id)
    if not policy.allows_model(model_id):
        raise RefusalError(403, "model_not_allowed", f"This API key may not use the model `{model_id}`.", param="model")
    allowed = [place for place in model.places if place.channel.route_type in policy.route_types]
    if not allowed:
        raise _no_route(model, policy, route_limits)
    plan = laid_out(
        model, allowed, policy, condition=condition, views=views or Views(draw), wait_s=wait_s, preference=preference
    )._replace(table_version=catalog.version or None, frozen=frozen)
    if len(plan.waits) == len(plan.places):
        raise nothing_usable(plan, range(len(plan.places)))
    return plan


def model_named(catalog: Catalog, model_id: str) -> Model:
    """The model. Raises :class:`RefusalError` where the table has none of that name."""
    model = catalog.models.get(model_id)
    if model is None:
        message = f"The model `{model_id}` does not exist or you do not have access to it."
        raise RefusalError(404, "model_not_found", message, param="model")
    return model


def laid_out(
    model: Model,
    allowed: Sequence[Place],
    policy: Policy,
    *,
    condition: Condition,
    views: Views,
    wait_s: WaitS,
    preference: Preference | None,
) -> Plan:
    """The plan over the places of a model that the policy allows (at least one), whether any of them may be called or not."""
    places = ordered(model, allowed, views)
    preferred = None if preference is None else _preferred(places, preference, condition, views)
    if preferred is not None:
        places.insert(0, places.pop(preferred))
    if not policy.fallback:
        places = places[:1]
    skips = tuple([condition(place.channel) for place in places])
    waits = {i: wait_s(places[i].channel) for i, skip in enumerate(skips) if skip is not None} if any(skips) else {}
    sticky_key = None if preference is None or preferred is None else preference.key
    return Plan(model, tuple(places), skips, policy.max_attempts, waits, sticky_key)


def nothing_usable(plan: Plan, indexes: Iterable[int]) -> RefusalError:
    """The refusal where every one of these candidates is passed over: 429 where all are at a limit, 503 where one rests."""
    indexes = list(indexes)
    reasons = [reason for index in indexes if (reason := plan.skips[index]) is not None]
    seconds = max(1, ceil(min((plan.waits[index] for index in indexes if index in plan.waits), default=1.0)))
    whose = f"Every channel that may serve the model `{plan.model.id}`"
    again = f"Try again in {seconds} second{'' if seconds == 1 else 's'}."
    frozen = _stopped(plan, indexes)
    if set(reasons) == {"channel_frozen"}:
        message = f"{whose} is {frozen}; nothing was charged. {again}"
        return RefusalError(503, "channel_frozen", message, retry_after_s=seconds)
    limits = ", ".join(dict.fromkeys(LIMIT_WORDS[reason] for reason in reasons if reason in LIMIT_WORDS))
    if set(reasons) <= LIMIT_REASONS:
        message = f"{whose} is at its limit ({limits}); nothing was charged. {again}"
        return RefusalError(429, "rate_limited", message, retry_after_s=seconds)
    also = f" or at its limit ({limits})" if limits else ""
    also += f" or {frozen}" if "channel_frozen" in reasons else ""
    others = [plan.places[index].channel for index in indexes if plan.skips[index] != "channel_frozen"]
    resting = "resting after failures" if any(channel.keys for channel in others) else "out of service"
    message = f"{whose} is {resting}{also}. {again}"
    return RefusalError(503, "upstream_unavailable", message, retry_after_s=seconds)


def _stopped(plan: Plan, indexes: Iterable[int]) -> str:
    """That channels are frozen, for a client: by which alerts, but neither the channels' names nor a person's words."""
    freezes = [plan.frozen.get(plan.places[index].channel.id) for index in indexes if plan.skips[index] == "channel_frozen"]
    alerts = dict.fromkeys(told for freeze in freezes if freeze is not None and (told := freeze.told()) is not None)
    return "stopped for now by the operator" + (f" (by an alert: {'; '.join(alerts)})" if alerts else "")


def _preferred(places: Sequence[Place], preference: Preference, condition: Condition, views: Views) -> int | None:
    for index, place in enumerate(places):
        if place.channel.id == preference.channel and place.upstream_model == preference.upstream_model:
            ranks = bucket_ranks(places, views.prices)
            same = ranks[place.channel.route_type] == ranks[places[0].channel.route_type]
            return index if same and condition(place.channel) is None else None
    return None


def _no_route(model: Model, policy: Policy, route_limits: Sequence[RouteLimit]) -> RefusalError:
    """The refusal, naming the envelope after which no route of the model was left."""
    left = {place.channel.route_type for place in model.places}
    subject, allowed, facts = "this API key", policy.route_types, {}
    for limit in route_limits:
        left &= set(limit.route_types)
        if not left:
            subject = SUBJECTS.get(limit.kind) or f"the {limit.kind} {limit.id}"
            allowed, facts = limit.route_types, {"envelope": {"kind": limit.kind, "id": limit.id, "window": None}}
            break
    types = ", ".join(allowed) or "none"
    message = f"No route of the types allowed to {subject} ({types}) serves the model `{model.id}`."
    return RefusalError(403, "route_not_allowed", message, param="model", facts=facts)
