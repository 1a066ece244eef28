"""`/v1/models` as a key sees it: router's catalog within the key's policy, with settlement's prices."""

from collections.abc import Iterable, Mapping
from typing import Any

from schemas.calls import Policy
from schemas.money import format_amount

Model = Mapping[str, Any]
PRICE_FIELDS = ("input", "cached_input", "cache_write", "output")


def visible_models(models: Iterable[Model], prices: Iterable[Mapping[str, Any]], policy: Policy) -> list[dict[str, Any]]:
    """The models that the policy allows on at least one of its route types, each with its prices per route type."""
    by_place = {(item["route_type"], item["model"]): item for item in prices}
    shown = [describe(model, by_place, policy) for model in models if policy.allows_model(model["id"])]
    return [model for model in shown if model["routes"]]


def describe(model: Model, by_place: Mapping[tuple[str, str], Mapping[str, Any]], policy: Policy) -> dict[str, Any]:
    """One model in OpenAI's shape; prices are decimal texts per million tokens, by route type."""
    route_types = sorted({route["route_type"] for route in model.get("routes", [])} & set(policy.route_types))
    found = {route_type: by_place.get((route_type, model["id"])) for route_type in route_types}
    return {
        "id": model["id"],
        "object": "model",
        "created": model.get("created", 0),
        "owned_by": model.get("owned_by", ""),
        "max_input_tokens": model.get("max_input_tokens"),
        "max_output_tokens": model.get("max_output_tokens"),
        "mode": model.get("mode"),
        "routes": route_types,
        "pricing": {route_type: _pricing(item) for route_type, item in found.items() if item is not None},
    }


def _pricing(item: Mapping[str, Any]) -> dict[str, str]:
    prices = {field: format_amount(item["prices"][field]) for field in PRICE_FIELDS}
    return {"currency": item["currency"], "unit": "per_million_tokens", **prices}
