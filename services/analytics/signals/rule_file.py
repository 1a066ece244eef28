"""Reads a rule file: YAML (or JSON, which is YAML) to rules, or every mistake with its line, column and reason. Pure."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from schemas.alert_rules import SIGNALS, AlertRules
from schemas.yaml_text import YamlTextError, read_yaml
from services.analytics.errors import RulesRefusedError

SHOWN = 20
"""Mistakes that one answer names."""
Place = tuple[str | int, ...]
PLAIN_REASONS = {
    "model_type": "write fields here, each as `name: value`",
    "tuple_type": "write a list here",
    "dict_type": "write fields here, each as `name: value`",
    "bool_type": "write true or false here, without quotes",
    "int_type": "write a whole number here, without quotes",
    "float_type": "write a number here, without quotes",
}
"""What the library says of Python's types, said of the file."""


class Problem(NamedTuple):
    """A mistake and where it stands; lines and columns count from 1."""

    line: int
    column: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.reason}"


def parse_rules(text: str) -> AlertRules:
    """The rules that a file states. Raises RulesRefusedError that names every mistake's line, column and reason."""
    node, data = _load(text)
    if problems := _repeated_fields(node):
        raise _refused(problems)
    try:
        file = AlertRules.model_validate(data)
    except ValidationError as error:
        raise _refused([_problem(node, dict(each)) for each in error.errors(include_url=False)]) from error
    if problems := [*_names_twice(node, file), *_unknown_receivers(node, file)]:
        raise _refused(problems)
    return file


def _names_twice(node: yaml.Node, file: AlertRules) -> list[Problem]:
    counted = Counter(rule.id for rule in file.rules)
    return [
        Problem(*_where(node, ("rules", index, "id")), f"id: {rule.id} names two rules: give each its own")
        for index, rule in enumerate(file.rules)
        if counted[rule.id] > 1
    ]


def _unknown_receivers(node: yaml.Node, file: AlertRules) -> list[Problem]:
    found: list[Problem] = []
    for index, rule in enumerate(file.rules):
        places: list[tuple[Place, Sequence[str]]] = [(("rules", index, "notify"), rule.notify)]
        places += [
            (("rules", index, "overrides", number, "notify"), override.notify or ())
            for number, override in enumerate(rule.overrides)
        ]
        found += [
            Problem(*_where(node, (*place, position)), f"notify: the file has no receiver {name}")
            for place, names in places
            for position, name in enumerate(names)
            if name not in file.receivers
        ]
    return found


def _load(text: str) -> tuple[yaml.MappingNode, dict[Any, Any]]:
    """The document's nodes, which know where they stand, and its values."""
    try:
        node, data = read_yaml(text)
    except YamlTextError as error:
        raise _refused([Problem(error.line or 1, error.column or 1, error.reason)]) from error
    if not isinstance(node, yaml.MappingNode) or not isinstance(data, dict):
        raise _refused([Problem(1, 1, "a rule file is a mapping with `receivers` and `rules`")])
    return node, data


def _repeated_fields(root: yaml.Node) -> list[Problem]:
    """Where a mapping has a field twice: the last would be taken silently."""
    found: list[Problem] = []
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.SequenceNode):
            waiting += reversed(node.value)
        elif isinstance(node, yaml.MappingNode):
            waiting += [value for _, value in reversed(node.value)]
            names: set[str] = set()
            for key, _ in node.value:
                if key.value in names:
                    found.append(Problem(*_mark(key), f"{key.value} stands twice in the same place: leave one of them out"))
                names.add(key.value)
    return found


def _problem(root: yaml.Node, detail: dict[str, Any]) -> Problem:
    place = _place(tuple(detail["loc"]))
    name = ".".join(str(part) for part in place if not isinstance(part, int)) or "the file"
    if detail["type"] == "missing":
        return Problem(*_where(root, place[:-1]), f"{name}: is missing")
    if detail["type"] == "extra_forbidden":
        return Problem(*_where(root, place, at_key=True), f"{name}: is not a field here")
    reason = PLAIN_REASONS.get(detail["type"], str(detail["msg"]).removeprefix("Value error, "))
    if detail["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        named = "kind" if "receivers" in place else "signal"
        known = detail["ctx"].get("expected_tags") or ", ".join(SIGNALS)
        return Problem(*_where(root, (*place, named)), f"{name}.{named}: has to be one of {known}")
    return Problem(*_where(root, place), f"{name}: {reason}")


def _place(loc: Place) -> Place:
    """The place without the kind of the rule or receiver, which the library puts in although the file has no such field."""
    return loc[:2] + loc[3:] if len(loc) > 2 and loc[0] in {"rules", "receivers"} else loc


def _where(root: yaml.Node, place: Place, *, at_key: bool = False) -> tuple[int, int]:
    """Where a place stands, or the innermost part of it that stands in the file."""
    node, mark = root, _mark(root)
    for part in place:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            mark = _mark(node)
        elif isinstance(node, yaml.MappingNode):
            key, value = next(((key, value) for key, value in node.value if key.value == part), (None, None))
            if key is None or value is None:
                break
            node, mark = value, _mark(key if at_key else value)
        else:
            break
    return mark


def _mark(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _refused(problems: Sequence[Problem]) -> RulesRefusedError:
    first, more = problems[0], len(problems) - 1
    message = f"{first} (and {more} more)" if more else str(first)
    return RulesRefusedError(message, f"line {first.line}", [each._asdict() for each in problems[:SHOWN]])
