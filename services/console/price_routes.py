"""A price file beside the route table: what would be asked for and has no price, and what has one and is never asked. Pure."""

from typing import Any

Json = dict[str, Any]


def mismatches(prices: list[Json], table: Json) -> list[str]:
    """One sentence each, in the order of the table and of the file."""
    route_type_of = {channel["id"]: channel["route_type"] for channel in table["channels"]}
    priced = {(line["route_type"], line["model"]) for line in prices}
    served: dict[tuple[str, str], str] = {}
    for model in table["models"]:
        for candidate in model["candidates"]:
            if (route_type := route_type_of.get(candidate["channel"])) is not None:
                served.setdefault((route_type, candidate["upstream_model"]), model["id"])
    return [
        *(
            f"{name} on {route_type} has no price: {model} cannot be asked for there (`no_price`)"
            for (route_type, name), model in served.items()
            if (route_type, name) not in priced
        ),
        *(
            f"{line['model']} on {line['route_type']} has a price, and no route asks for it: is the name right?"
            for line in prices
            if (line["route_type"], line["model"]) not in served
        ),
    ]
