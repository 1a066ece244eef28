"""What a rule file changes of another: rules and receivers by their names, field by field. Pure."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from schemas.alert_rules import AlertRules

Json = dict[str, Any]


class Change(NamedTuple):
    """One rule or receiver that differs. `fields` of one that is changed: what was and what is."""

    change: Literal["added", "removed", "changed"]
    kind: Literal["rule", "receiver"]
    id: str
    fields: Json


def document(rules: AlertRules) -> Json:
    """The rules as they are stored and shown: in the file's own words, without what is left at its default."""
    return rules.model_dump(mode="json", by_alias=True, exclude_defaults=False)


def changes(before: AlertRules, after: AlertRules) -> list[Change]:
    """What `after` changes, in the order of kinds and names."""
    old, new = document(before), document(after)
    found = _between("receiver", old["receivers"], new["receivers"])
    return found + _between("rule", *({rule["id"]: rule for rule in each["rules"]} for each in (old, new)))


def _between(kind: Literal["rule", "receiver"], old: Mapping[str, Json], new: Mapping[str, Json]) -> list[Change]:
    found = []
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            found.append(Change("added", kind, name, {}))
        elif name not in new:
            found.append(Change("removed", kind, name, {}))
        elif fields := _fields(old[name], new[name]):
            found.append(Change("changed", kind, name, fields))
    return found


def _fields(old: Json, new: Json) -> Json:
    names = sorted(old.keys() | new.keys())
    return {name: {"before": old.get(name), "after": new.get(name)} for name in names if old.get(name) != new.get(name)}
