"""`/v1/models` as a key sees it: router's catalog within the key's policy, with settlement's prices."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from schemas.calls import Policy
from schemas.money import format_amount

Model = Mapping[str, Any]
Prices = Mapping[tuple[str, str], Mapping[str, Any]]
PRICE_FIELDS = ("input", "cached_input", "cache_write", "output")


def listed(models: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A list of models as OpenAI's clients read it, and Anthropic's: everything is on one page."""
    ids = [model["id"] for model in models]
    page = {"has_more": False, "first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
    return {"object": "list", "data": list(models), **page}


def visible_models(models: Iterable[Model], prices: Iterable[Mapping[str, Any]], policy: Policy) -> list[dict[str, Any]]:
    """The models that the policy allows on at least one of its route types, each with its prices per route type."""
    by_place = {(item["route_type"], item["model"]): item for item in prices}
    shown = [describe(model, by_place, policy) for model in models if policy.allows_model(model["id"])]
    return [model for model in shown if model["routes"]]


def describe(model: Model, by_place: Prices, policy: Policy) -> dict[str, Any]:
    """One model in the shape of OpenAI's and of Anthropic's; prices are decimal texts per million tokens, by route type."""
    routes = [route for route in model.get("routes", []) if route["route_type"] in policy.route_types]
    route_types = sorted({route["route_type"] for route in routes})
    pricing = {route_type: _pricing(routes, route_type, by_place) for route_type in route_types}
    created = model.get("created", 0)
    return {
        "id": model["id"],
        "object": "model",
        "created": created,
        "owned_by": model.get("owned_by", ""),
        "type": "model",
        "display_name": model["id"],
        "created_at": datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "max_input_tokens": model.get("max_input_tokens"),
        "max_output_tokens": model.get("max_output_tokens"),
        "mode": model.get("mode"),
        "routes": route_types,
        "pricing": {route_type: found for route_type, found in pricing.items() if found is not None},
    }


def _pricing(routes: Iterable[Mapping[str, Any]], route_type: str, by_place: Prices) -> dict[str, Any] | None:
    """What the first place of a route type costs, and what the other models do that may answer there instead."""
    named = dict.fromkeys(route["upstream_model"] for route in routes if route["route_type"] == route_type)
    found = [_prices(by_place[route_type, name]) for name in named if (route_type, name) in by_place]
    if not found:
        return None
    return {**found[0], "alternatives": found[1:]} if len(found) > 1 else found[0]


def _prices(item: Mapping[str, Any]) -> dict[str, str]:
    prices = {field: format_amount(item["prices"][field]) for field in PRICE_FIELDS}
    return {"model": item["model"], "currency": item["currency"], "unit": "per_million_tokens", **prices}
