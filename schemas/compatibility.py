"""Whether a new JSON Schema still reads everything that was written under an old one.

Events are kept for ever, so a reader of today meets every value that was ever allowed. A change may add an optional field or
allow more; it may not drop a field, require a new one, or allow less. The comparison knows the keywords that pydantic writes,
and treats any other keyword that was added or changed as a narrowing.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
PROSE = frozenset(("title", "description", "default", "$defs", "$id", "$schema", "examples", "discriminator", "deprecated"))
HANDLED = frozenset(
    (
        *LOWER_BOUNDS,
        *UPPER_BOUNDS,
        "type",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "properties",
        "required",
        "items",
        "additionalProperties",
    )
)
MAX_DEPTH = 40


def breaks(old: Schema, new: Schema) -> list[str]:
    """What the new schema refuses or forgets of the old one: one sentence per place, empty where it is compatible."""
    return list(_Comparison(old, new).node(old, new, "$", 0))


class _Comparison:
    """Walks two documents side by side; references resolve within each document."""

    def __init__(self, old_document: Schema, new_document: Schema) -> None:
        self._old_document = old_document
        self._new_document = new_document

    def node(self, old: Schema, new: Schema, place: str, depth: int) -> Iterator[str]:
        """What breaks at one place."""
        if depth > MAX_DEPTH:
            raise ValueError(f"{place} is nested too deeply to compare")
        old, new = _resolve(old, self._old_document), _resolve(new, self._new_document)
        old_choices, new_choices = _choices(old), _choices(new)
        if len(old_choices) > 1 or len(new_choices) > 1:
            yield from self._alternatives(old_choices, new_choices, place, depth)
            return
        yield from self._single(
            _resolve(old_choices[0], self._old_document), _resolve(new_choices[0], self._new_document), place, depth
        )

    def _alternatives(self, old: list[Schema], new: list[Schema], place: str, depth: int) -> Iterator[str]:
        """Every alternative that was allowed must still be allowed by one alternative, or (for texts) by all together."""
        united = _united_enum([_resolve(choice, self._new_document) for choice in new])
        for choice in old:
            options = [list(self.node(choice, other, place, depth + 1)) for other in new]
            if all(options) and not _within(_resolve(choice, self._old_document), united):
                yield min(options, key=len)[0]

    def _single(self, old: Schema, new: Schema, place: str, depth: int) -> Iterator[str]:
        yield from _types(old, new, place)
        yield from _values(old, new, place)
        yield from _bounds(old, new, place)
        yield from _unknown_keywords(old, new, place)
        yield from self._fields(old, new, place, depth)
        yield from self._nested("items", old, new, f"{place}[]", depth)
        yield from self._further(old, new, place, depth)

    def _fields(self, old: Schema, new: Schema, place: str, depth: int) -> Iterator[str]:
        old_fields, new_fields = old.get("properties", {}), new.get("properties", {})
        for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
            yield f"{place}.{name} is required now: values without it were written"
        for name, schema in old_fields.items():
            if name not in new_fields:
                yield f"{place}.{name} is gone"
            else:
                yield from self.node(schema, new_fields[name], f"{place}.{name}", depth + 1)

    def _further(self, old: Schema, new: Schema, place: str, depth: int) -> Iterator[str]:
        """Fields beyond the named ones: closed, open, or of one schema (a mapping)."""
        before, after = old.get("additionalProperties", True), new.get("additionalProperties", True)
        if after is True or before is False:
            return
        if after is False or before is True:
            yield f"{place} no longer takes every further field"
        else:
            yield from self.node(before, after, f"{place}.*", depth + 1)

    def _nested(self, keyword: str, old: Schema, new: Schema, place: str, depth: int) -> Iterator[str]:
        if keyword in new:
            yield from self.node(old.get(keyword, {}), new[keyword], place, depth + 1)


def _resolve(schema: Schema, document: Schema) -> Schema:
    """The schema behind a local reference."""
    while "$ref" in schema:
        target: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = target
    return schema


def _choices(schema: Schema) -> list[Schema]:
    """The alternatives of a schema; itself where it has none."""
    return list(schema.get("anyOf") or schema.get("oneOf") or [schema])


def _types(old: Schema, new: Schema, place: str) -> Iterator[str]:
    if "type" not in new:
        return
    allowed = _type_names(new) | ({"integer"} if "number" in _type_names(new) else set())
    lost = (_type_names(old) or {"any"}) - allowed
    if lost:
        yield f"{place} was {'/'.join(sorted(lost))} and must be {'/'.join(sorted(_type_names(new)))} now"


def _type_names(schema: Schema) -> set[str]:
    named = schema.get("type", [])
    return {named} if isinstance(named, str) else set(named)


def _enumerated(schema: Schema) -> list[Any] | None:
    """The only values that a schema allows, None where it does not list them."""
    if "const" in schema:
        return [schema["const"]]
    listed = schema.get("enum")
    return None if listed is None else list(listed)


def _united_enum(schemas: list[Schema]) -> list[Any]:
    return [value for schema in schemas for value in _enumerated(schema) or []]


def _within(schema: Schema, values: list[Any]) -> bool:
    listed = _enumerated(schema)
    return listed is not None and all(value in values for value in listed)


def _values(old: Schema, new: Schema, place: str) -> Iterator[str]:
    before, after = _enumerated(old), _enumerated(new)
    if after is None:
        return
    if before is None:
        yield f"{place} allows only {after} now"
        return
    lost = [value for value in before if value not in after]
    if lost:
        yield f"{place} no longer allows {lost}"


def _bounds(old: Schema, new: Schema, place: str) -> Iterator[str]:
    for keyword in LOWER_BOUNDS:
        if keyword in new and (keyword not in old or new[keyword] > old[keyword]):
            yield f"{place} has a higher {keyword}: {new[keyword]}"
    for keyword in UPPER_BOUNDS:
        if keyword in new and (keyword not in old or new[keyword] < old[keyword]):
            yield f"{place} has a lower {keyword}: {new[keyword]}"


def _unknown_keywords(old: Schema, new: Schema, place: str) -> Iterator[str]:
    """Keywords such as `pattern` and `format`: any that appears or changes counts as narrower."""
    for keyword in sorted(set(new) - HANDLED - PROSE - {"$ref"}):
        if old.get(keyword) != new[keyword]:
            yield f"{place} has another {keyword}: {new[keyword]!r}"
