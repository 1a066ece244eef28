"""A key sees the models that it may use, at the prices that it would pay."""

from typing import Any

from schemas.calls import Policy
from services.edge.catalog import listed, visible_models

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


def test_a_model_costs_what_the_models_cost_that_answer_for_it() -> None:
    routes = [("direct", "gpt-4o"), ("pooled", "other"), ("pooled", "gpt-4o"), ("pooled", "unpriced"), ("pooled", "gpt-4o")]
    places = [{"channel": "c", "route_type": kind, "brand": "b", "upstream_model": name} for kind, name in routes]
    other = {"route_type": "pooled", "model": "other", "currency": "CNY", "prices": {**PRICES, "output": 7_000_000_000}}
    [shown] = visible_models([{**model("fast", "direct"), "routes": places}], [*BOOK, other], Policy())
    assert (shown["pricing"]["direct"]["model"], "alternatives" in shown["pricing"]["direct"]) == ("gpt-4o", False)
    pooled = shown["pricing"]["pooled"]
    assert (pooled["model"], pooled["output"]) == ("other", "7.00")
    assert [(each["model"], each["output"]) for each in pooled["alternatives"]] == [("gpt-4o", "10.00")]


def test_the_list_is_one_page_for_clients_of_both_kinds() -> None:
    page = listed(visible_models(CATALOG, BOOK, Policy()))
    assert (page["object"], page["has_more"], page["first_id"], page["last_id"]) == ("list", False, "gpt-4o", "deepseek-chat")
    first = page["data"][0]
    assert (first["object"], first["type"], first["display_name"], first["created_at"]) == (
        "model", "model", "gpt-4o", "1970-01-01T00:00:01Z",
    )  # fmt: skip
    assert listed([]) == {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None}
