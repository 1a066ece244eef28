"""Which candidates may serve a request, and in which order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from schemas.calls import Policy, RouteLimit
from services.router.catalog import Catalog, Channel, Model, Place
from services.router.errors import RefusalError

SkipReason = Literal["circuit_open", "cooldown"]
SUBJECTS = {"account": "this account", "project": "this project", "key": "this API key"}
Condition = Callable[[Channel], SkipReason | None]
"""Why a channel must not be called now, None where it may."""


class Plan(NamedTuple):
    """The ordered candidates of one request. `skips[i]` says why candidate i was passed over when the plan was made.

    `max_attempts` bounds the upstream calls over all candidates.
    """

    model: Model
    places: tuple[Place, ...]
    skips: tuple[SkipReason | None, ...]
    max_attempts: int

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
) -> Plan:
    """The plan for a request. Raises :class:`RefusalError` where the policy or the table leaves nothing to call.

    Candidates come by priority (lower first) and then in file order; where weights are given, equal priorities are drawn by
    weight. Without permission to fall back only the first remains.
    """
    model = catalog.models.get(model_id)
    if model is None:
        message = f"The model `{model_id}` does not exist or you do not have access to it."
        raise RefusalError(404, "model_not_found", message, param="model")
    if not policy.allows_model(model_id):
        raise RefusalError(403, "model_not_allowed", f"This API key may not use the model `{model_id}`.", param="model")
    places = [place for place in model.places if place.channel.route_type in policy.route_types]
    if not places:
        raise _no_route(model, policy, route_limits)
    ordered = _ordered(places, draw)
    if not policy.fallback:
        ordered = ordered[:1]
    skips = tuple([condition(place.channel) for place in ordered])
    plan = Plan(model, tuple(ordered), skips, policy.max_attempts)
    if not plan.usable:
        message = f"Every channel for the model `{model_id}` is resting after failures. Try again shortly."
        raise RefusalError(503, "upstream_unavailable", message, retry_after_s=2)
    return plan


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


def _ordered(places: list[Place], draw: Callable[[], float]) -> list[Place]:
    if all(place.weight is None for place in places):
        # Sorting is stable: file order holds where the priorities are equal.
        return sorted(places, key=lambda place: place.priority)
    # A weighted shuffle (Efraimidis and Spirakis): the largest draw ** (1 / weight) comes first.
    return sorted(places, key=lambda place: (place.priority, -(draw() ** (1 / (place.weight or 1)))))
