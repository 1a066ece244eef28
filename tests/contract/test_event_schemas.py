"""Every event has a schema and examples, and the examples stay readable for ever."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import BaseModel

from schemas import export, topics
from schemas.export import JSON_DIR, path_of, schema_of

EXAMPLES_DIR = Path(export.__file__).parent / "examples"
MODELS = {(topic, name): model for topic, name, model in export.models()}
EXAMPLES = sorted(EXAMPLES_DIR.rglob("*.json"))
# What a client's words could hide under. Counts of tokens, messages of errors and names of models are none of it.
FORBIDDEN_FIELDS = {
    "prompt",
    "prompts",
    "messages",
    "content",
    "contents",
    "completion",
    "completions",
    "choices",
    "delta",
    "text",
} | {"input", "output", "body", "arguments", "tool_calls", "system", "instructions", "response", "reply"}
PRICE_FIELDS = frozenset(("input", "output"))


def type_of(example: Path) -> tuple[str, str]:
    """(topic, type name) of an example by its place."""
    return example.parent.parent.name, example.stem.partition("-")[0]


def named_fields(schema: Any) -> Iterator[tuple[str, str]]:
    """(schema title, field) of every field in a schema, at any depth."""
    if isinstance(schema, dict):
        for field in schema.get("properties", {}):
            yield schema.get("title", ""), field
        for part in schema.values():
            yield from named_fields(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from named_fields(part)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_fits_its_committed_json_schema(example: Path) -> None:
    schema = json.loads(path_of(*type_of(example)).read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(json.loads(example.read_text("utf-8")))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_read_by_todays_model_without_losing_a_field(example: Path) -> None:
    model = MODELS[type_of(example)]
    event = model.model_validate_json(example.read_bytes())
    again = model.model_validate_json(event.model_dump_json())
    assert again == event
    assert shape(json.loads(event.model_dump_json())) >= shape(json.loads(example.read_text("utf-8")))


def shape(value: Any, place: str = "$") -> set[str]:
    """The places of all fields in a JSON value."""
    if isinstance(value, dict):
        return {f"{place}.{name}" for name in value}.union(*(shape(part, f"{place}.{name}") for name, part in value.items()))
    if isinstance(value, list):
        return set().union(*(shape(part, f"{place}[{index}]") for index, part in enumerate(value)))
    return set()


@pytest.mark.parametrize(("topic", "name"), MODELS, ids=lambda value: value)
def test_every_type_has_an_example(topic: str, name: str) -> None:
    assert [path for path in EXAMPLES if type_of(path) == (topic, name)]


def test_every_example_belongs_to_a_type() -> None:
    assert {type_of(path) for path in EXAMPLES} <= MODELS.keys()
    assert {path.parent.name for path in EXAMPLES} == {"v1"}


def test_the_committed_schemas_are_todays_models() -> None:
    assert export.differences() == []


def test_no_model_refuses_what_its_committed_schema_allowed() -> None:
    assert export.incompatibilities() == []


def test_no_event_has_a_field_for_a_clients_words() -> None:
    found = {
        (name, title, field)
        for topic, name, model in export.models()
        for title, field in named_fields(schema_of(topic, name, model))
        if field in FORBIDDEN_FIELDS and not (title == "Prices" and field in PRICE_FIELDS)
    }
    assert found == set()


def test_every_schema_lies_under_a_topic_that_exists() -> None:
    assert {path.name for path in JSON_DIR.iterdir()} - {"files"} == topics.topics().keys()


def test_an_event_of_a_newer_producer_is_read_by_todays_reader() -> None:
    for example in EXAMPLES:
        newer = with_new_fields(json.loads(example.read_text("utf-8")))
        assert isinstance(MODELS[type_of(example)].model_validate(newer), BaseModel)


def with_new_fields(value: Any, *, mapping: bool = False) -> Any:
    """The same value with a field in every object that no reader of today knows (tags are data, not fields)."""
    if isinstance(value, dict):
        more = {} if mapping else {"added_later": {"by": "a newer producer"}}
        return {name: with_new_fields(part, mapping=name == "tags") for name, part in value.items()} | more
    if isinstance(value, list):
        return [with_new_fields(part) for part in value]
    return value
