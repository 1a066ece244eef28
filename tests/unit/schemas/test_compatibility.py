"""A change that would stop reading what was written is refused; one that only allows more is not."""

from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, create_model

from schemas.compatibility import breaks

Fields = dict[str, Any]


def schema(**fields: Any) -> dict[str, Any]:
    """The JSON Schema of an object with these fields, each a type or (type, default)."""
    definitions: Any = {name: value if isinstance(value, tuple) else (value, ...) for name, value in fields.items()}
    model: type[BaseModel] = create_model("Thing", **definitions)
    return model.model_json_schema()


class Inner(BaseModel):
    """A nested value."""

    amount: int


class NarrowInner(BaseModel):
    """The same, narrower."""

    amount: Annotated[int, Field(ge=0)]


Positive = Annotated[int, Field(ge=0)]
Short = Annotated[str, Field(max_length=10)]
INCOMPATIBLE: dict[str, tuple[Fields, Fields, str]] = {
    "a field is gone": ({"a": int, "b": int}, {"a": int}, "$.b is gone"),
    "an optional field is gone": ({"a": int, "b": (int, 0)}, {"a": int}, "$.b is gone"),
    "a new field is required": ({"a": int}, {"a": int, "b": int}, "$.b is required now"),
    "an optional field became required": ({"a": (int, 0)}, {"a": int}, "$.a is required now"),
    "another type": ({"a": int}, {"a": str}, "$.a was integer"),
    "a number became an integer": ({"a": float}, {"a": int}, "$.a was number"),
    "null is no longer allowed": ({"a": int | None}, {"a": int}, "$.a was null"),
    "an alternative is gone": ({"a": int | str}, {"a": int}, "$.a was string"),
    "an enum lost a value": ({"a": Literal["x", "y"]}, {"a": Literal["x"]}, "$.a"),
    "a union of enums lost a value": (
        {"a": Literal["x", "y"] | None},
        {"a": Literal["x"] | None},
        "$.a",
    ),
    "free text became an enum": ({"a": str}, {"a": Literal["x"]}, "$.a allows only"),
    "a lower bound appeared": ({"a": int}, {"a": Positive}, "$.a has a higher minimum"),
    "an upper bound appeared": ({"a": str}, {"a": Short}, "$.a has a lower maxLength"),
    "an upper bound fell": ({"a": Short}, {"a": Annotated[str, Field(max_length=9)]}, "$.a has a lower maxLength: 9"),
    "a list must not be empty now": (
        {"a": list[int]},
        {"a": Annotated[list[int], Field(min_length=1)]},
        "$.a has a higher minItems",
    ),
    "items became narrower": ({"a": list[int]}, {"a": list[Positive]}, "$.a[] has a higher minimum"),
    "a mapping's values became narrower": ({"a": dict[str, str]}, {"a": dict[str, Short]}, "$.a.* has a lower maxLength"),
    "a nested model became narrower": ({"a": Inner}, {"a": NarrowInner}, "$.a.amount has a higher minimum"),
    "an optional nested model became narrower": ({"a": Inner | None}, {"a": NarrowInner | None}, "$.a.amount"),
    "a format appeared": ({"a": str}, {"a": UUID}, "$.a has another format"),
    "a pattern appeared": ({"a": str}, {"a": Annotated[str, Field(pattern="^x")]}, "$.a has another pattern"),
}
COMPATIBLE: dict[str, tuple[Fields, Fields]] = {
    "nothing changed": ({"a": int, "b": Inner | None}, {"a": int, "b": Inner | None}),
    "a new optional field": ({"a": int}, {"a": int, "b": (int, 0)}),
    "a required field became optional": ({"a": int}, {"a": (int, 0)}),
    "null became allowed": ({"a": int}, {"a": int | None}),
    "an integer became a number": ({"a": int}, {"a": float}),
    "an enum got a value": ({"a": Literal["x"]}, {"a": Literal["x", "y"]}),
    "a union of enums got a value": ({"a": Literal["x"] | None}, {"a": Literal["x", "y"] | None}),
    "an enum was split into two": (
        {"a": Literal["x", "y"]},
        {"a": Literal["x"] | Annotated[Literal["y"], Field(title="Y")] | None},
    ),
    "an enum became free text": ({"a": Literal["x"]}, {"a": str}),
    "a bound was lifted": ({"a": Short, "b": Positive}, {"a": str, "b": int}),
    "an upper bound rose": ({"a": Short}, {"a": Annotated[str, Field(max_length=11)]}),
    "a nested model became wider": ({"a": NarrowInner}, {"a": Inner}),
    "words about it changed": ({"a": int}, {"a": Annotated[int, Field(description="nano of a unit")]}),
}


@pytest.mark.parametrize("case", INCOMPATIBLE)
def test_an_incompatible_change_is_refused_and_named(case: str) -> None:
    old, new, reason = INCOMPATIBLE[case]
    found = breaks(schema(**old), schema(**new))
    assert any(sentence.startswith(reason) for sentence in found), found


@pytest.mark.parametrize("case", COMPATIBLE)
def test_a_compatible_change_passes(case: str) -> None:
    old, new = COMPATIBLE[case]
    assert breaks(schema(**old), schema(**new)) == []


def test_an_object_that_closes_itself_is_refused() -> None:
    class Open(BaseModel):
        a: int

    class Closed(BaseModel):
        model_config = ConfigDict(extra="forbid")
        a: int

    assert breaks(Open.model_json_schema(), Closed.model_json_schema()) == ["$ no longer takes every further field"]
    assert breaks(Closed.model_json_schema(), Open.model_json_schema()) == []


def test_a_schema_that_refers_to_itself_without_end_is_not_compared() -> None:
    endless: dict[str, Any] = {"$defs": {"Node": {"properties": {"next": {"$ref": "#/$defs/Node"}}}}, "$ref": "#/$defs/Node"}
    with pytest.raises(ValueError, match="nested too deeply"):
        breaks(endless, endless)
