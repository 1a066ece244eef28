"""What changes between two tables: channels and models by their ids. Pure."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Json = dict[str, Any]


class Change(NamedTuple):
    """One channel or model that is added, removed or changed. `fields`: name → what it was and what it becomes."""

    kind: Literal["channel", "model"]
    id: str
    change: Literal["added", "removed", "changed"]
    fields: dict[str, dict[str, Any]]


def changes(before: Json, after: Json) -> list[Change]:
    """Everything that differs. The order of channels and models says nothing; that of candidates and keys does."""
    found: list[Change] = []
    kinds: tuple[Literal["channel", "model"], ...] = ("channel", "model")
    for kind in kinds:
        old, new = ({row["id"]: row for row in document[f"{kind}s"]} for document in (before, after))
        for id_ in sorted(old.keys() | new.keys()):
            fields = _fields(old.get(id_, {}), new.get(id_, {}))
            if fields:
                found.append(Change(kind, id_, _how(id_ in old, id_ in new), fields))
    return found


def _how(was: bool, is_: bool) -> Literal["added", "removed", "changed"]:
    if was and is_:
        return "changed"
    return "removed" if was else "added"


def _fields(old: Json, new: Json) -> dict[str, dict[str, Any]]:
    names = [name for name in dict.fromkeys((*old, *new)) if name != "id" and old.get(name) != new.get(name)]
    return {name: {"before": old.get(name), "after": new.get(name)} for name in names}
