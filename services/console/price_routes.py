"""A price file beside the route table: what would be asked for and has no price, and what has one and is never asked. Pure."""

from collections.abc import Container
from typing import Any

Json = dict[str, Any]


def mismatches(prices: list[Json], table: Json) -> list[str]:
    """One sentence each, in the order of the table and of the file."""
    unpriced, unasked = _told(prices, table)
    return [*unpriced, *unasked.values()]


def worth_saying(prices: list[Json], table: Json, changed: Container[str]) -> list[str]:
    """The same for people: of prices that nothing asks for, those of changed lines (`direct gpt-4o`), and how many more."""
    unpriced, unasked = _told(prices, table)
    near = [words for line, words in unasked.items() if line in changed]
    more = len(unasked) - len(near)
    beside = [f"{more} prices that do not change are of models that no route asks for (--json names them)"] if more else []
    return [*unpriced, *near, *beside]


def _told(prices: list[Json], table: Json) -> tuple[list[str], dict[str, str]]:
    """What has no price; and what no route asks for, by the line's route type and model."""
    route_type_of = {channel["id"]: channel["route_type"] for channel in table["channels"]}
    priced = {(line["route_type"], line["model"]) for line in prices}
    served: dict[tuple[str, str], str] = {}
    for model in table["models"]:
        for candidate in model["candidates"]:
            if (route_type := route_type_of.get(candidate["channel"])) is not None:
                served.setdefault((route_type, candidate["upstream_model"]), model["id"])
    unpriced = [
        f"{name} on {route_type} has no price: {model} cannot be asked for there (`no_price`)"
        for (route_type, name), model in served.items()
        if (route_type, name) not in priced
    ]
    unasked = {
        f"{route_type} {name}": f"{name} on {route_type} has a price, and no route asks for it: is the name right?"
        for route_type, name in ((line["route_type"], line["model"]) for line in prices)
        if (route_type, name) not in served
    }
    return unpriced, unasked
