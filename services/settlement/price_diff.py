"""What changes between two price books, and what of it looks like a mistake. Pure."""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from schemas.ledger import PriceItem
from services.settlement.pricebook import PriceBook, exported

Json = dict[str, Any]
FAR = 10
"""A price that becomes so many times what it was, or so small a part of it, is worth a second look."""
WARNED = 50
NOTHING: Json = {"buckets": [], "prices": []}
FIELDS = ("input", "cached_input", "cache_write", "output")


class Change(NamedTuple):
    """One bucket or price that is added, removed or changed. `fields`: name → what it was and what it becomes."""

    kind: Literal["bucket", "price"]
    id: str
    change: Literal["added", "removed", "changed"]
    fields: dict[str, Json]


def changes(before: PriceBook | None, after: PriceBook) -> list[Change]:
    """Everything that differs; the order of lines says nothing."""
    found: list[Change] = []
    old, new = (NOTHING if before is None else exported(before, whole=True)), exported(after, whole=True)
    kinds: tuple[tuple[Literal["bucket", "price"], str], ...] = (("bucket", "buckets"), ("price", "prices"))
    for kind, part in kinds:
        was, becomes = _by_id(old[part]), _by_id(new[part])
        for id_ in sorted(was.keys() | becomes.keys()):
            fields = _fields(was.get(id_, {}), becomes.get(id_, {}))
            if fields:
                found.append(Change(kind, id_, _how(id_ in was, id_ in becomes), fields))
    return found


def warnings(before: PriceBook | None, after: PriceBook) -> list[str]:
    """What is allowed and yet looks like a mistake, one sentence each; at most `WARNED`."""
    known = {} if before is None else {(item.route_type, item.model): item for item in before.items}
    found = [each for item in after.items for each in _doubts(known.get((item.route_type, item.model)), item)]
    return [*found[:WARNED], *([f"and {len(found) - WARNED} more"] if len(found) > WARNED else [])]


def _doubts(before: PriceItem | None, item: PriceItem) -> Iterable[str]:
    name, prices = f"{item.model} on {item.route_type}", item.prices
    if prices.dearest_input == prices.output == 0:
        yield f"{name} is free"
    if prices.cached_input > prices.input:
        yield f"{name}: cached input is dearer than input"
    if 0 < prices.output < prices.input:
        yield f"{name}: output is cheaper than input"
    if before is None or before.currency != item.currency:
        return
    for field in FIELDS:
        was, becomes = getattr(before.prices, field), getattr(prices, field)
        if was and becomes and (becomes >= was * FAR or becomes * FAR <= was):
            many = max(was, becomes) // min(was, becomes)
            yield f"{name}: {field} becomes " + (f"{many} times" if becomes > was else f"a {many}th part of") + " what it was"


def _by_id(rows: list[Json]) -> dict[str, Json]:
    return {row["id"] if "id" in row else f"{row['route_type']} {row['model']}": row for row in rows}


def _how(was: bool, is_: bool) -> Literal["added", "removed", "changed"]:
    if was and is_:
        return "changed"
    return "removed" if was else "added"


def _fields(old: Json, new: Json) -> dict[str, Json]:
    names = [name for name in dict.fromkeys((*old, *new)) if name not in {"id", "route_type", "model"}]
    return {name: {"before": old.get(name), "after": new.get(name)} for name in names if old.get(name) != new.get(name)}
