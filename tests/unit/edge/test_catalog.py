"""A key sees the models that it may use, at the prices that it would pay."""

from typing import Any

from schemas.calls import Policy
from services.edge.catalog import visible_models

PRICES = {"input": 2_500_000_000, "cached_input": 1_250_000_000, "cache_write": 2_500_000_000, "output": 10_000_000_000}
BOOK = [
    {"route_type": "direct", "model": "gpt-4o", "currency": "USD", "prices": PRICES},
    {"route_type": "pooled", "model": "gpt-4o", "currency": "CNY", "prices": PRICES},
]


def model(model_id: str, *route_types: str) -> dict[str, Any]:
    routes = [{"channel": "c", "route_type": kind, "brand": "b", "upstream_model": model_id} for kind in route_types]
    return {"id": model_id, "owned_by": "openai", "created": 1, "max_input_tokens": 9, "routes": routes}


CATALOG = [model("gpt-4o", "direct", "direct", "pooled"), model("deepseek-chat", "pooled")]


def test_an_open_key_sees_every_model_with_its_prices_by_route_type() -> None:
    shown = visible_models(CATALOG, BOOK, Policy())
    assert [one["id"] for one in shown] == ["gpt-4o", "deepseek-chat"]
    assert {(one["object"], one["owned_by"]) for one in shown} == {("model", "openai")}
    pricing = shown[0]["pricing"]
    assert (pricing["direct"]["currency"], pricing["pooled"]["currency"]) == ("USD", "CNY")
    assert (pricing["direct"]["input"], pricing["direct"]["cached_input"], pricing["direct"]["output"]) == (
        "2.50",
        "1.25",
        "10.00",
    )


def test_a_key_sees_only_the_models_of_its_policy() -> None:
    assert [one["id"] for one in visible_models(CATALOG, BOOK, Policy(models=["deepseek-chat"]))] == ["deepseek-chat"]


def test_a_key_sees_only_routes_of_its_policy() -> None:
    shown = visible_models(CATALOG, BOOK, Policy(route_types=["direct"]))
    assert [(one["id"], one["routes"], list(one["pricing"])) for one in shown] == [("gpt-4o", ["direct"], ["direct"])]


def test_a_model_without_a_price_is_shown_without_one() -> None:
    assert visible_models(CATALOG, BOOK, Policy())[1]["pricing"] == {}
