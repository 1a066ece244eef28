"""`python -m services.router.table_schema` writes the JSON Schema of route files, which editors check them by.

It says what the parser says, but for what no schema can: that ids are unique, that candidates name channels of the file, and
where a base URL may lead. With `--check` it writes nothing and fails where the file is not today's.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.router.key_rules import OWN_NAMES, OWN_PREFIXES, SENDABLE
from services.router.table import RouteTable

FILE = Path(__file__).resolve().parents[2] / "schemas" / "json" / "files" / "routes.schema.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
KEY_FORMS = ("secret", "secret_env", "kept")
FACTOR = r"^[0-9]{1,6}(\.[0-9]{1,9})?$"
LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrency")
JsonSchema = dict[str, Any]


def schema() -> JsonSchema:
    """Today's schema of a route file."""
    found = RouteTable.model_json_schema(mode="validation")
    rows = found["$defs"]
    for row in (found, *rows.values()):
        row.pop("description", None)
    _keys(rows["ChannelKey"])
    rows["LimitsRow"]["anyOf"] = [_given(name) for name in LIMITS]
    _text(rows["ChannelRow"], "cost_factor")["pattern"] = FACTOR
    rows["StickyRow"]["properties"]["by"]["uniqueItems"] = True
    _model(rows["ModelRow"])
    return {"$schema": DIALECT, "$id": "tollbook/routes", **found, "title": "Tollbook's route table"}


def render() -> str:
    """The schema as the file holds it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def _given(name: str) -> JsonSchema:
    """The field is there and is not null."""
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


def _keys(row: JsonSchema) -> None:
    row["oneOf"] = [_given(name) for name in KEY_FORMS]
    _text(row, "secret")["pattern"] = f"^(?:{SENDABLE.pattern})$"
    own = "|".join([*sorted(OWN_PREFIXES), *(f"{name}$" for name in sorted(OWN_NAMES))])
    _text(row, "secret_env")["not"] = {"pattern": f"^(?:{own})"}


def _text(row: JsonSchema, name: str) -> JsonSchema:
    """The part of an optional field that describes its text."""
    found: JsonSchema = next(each for each in row["properties"][name]["anyOf"] if each.get("type") == "string")
    return found


def _model(row: JsonSchema) -> None:
    """The rules between a model's fields, as `ModelRow` checks them."""
    embedding = {"required": ["mode"], "properties": {"mode": {"const": "embedding"}}}
    none, some = {"properties": {"max_output_tokens": {"maximum": 0}}}, {"minimum": 1}
    weightless = {"properties": {"candidates": {"items": {"properties": {"weight": {"type": "null"}}}}}}
    row["allOf"] = [
        {
            "if": embedding,
            "then": none,
            "else": {"required": ["max_output_tokens"], "properties": {"max_output_tokens": some}},
        },
        {
            "if": _given("explore_percent"),
            "then": {"required": ["strategy"], "properties": {"strategy": {"const": "fastest"}}},
        },
        {
            "if": {"required": ["strategy"], "properties": {"strategy": {"enum": ["priority", "cheapest", "fastest"]}}},
            "then": weightless,
        },
    ]


def main(arguments: Sequence[str] | None = None, file: Path = FILE) -> int:
    """Export or check; the exit status is 1 where the file is not today's."""
    parser = argparse.ArgumentParser(prog="python -m services.router.table_schema", description="Export the schema of routes.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail where the file is not today's")
    if parser.parse_args(arguments).check:
        if file.is_file() and file.read_text("utf-8") == render():
            return 0
        sys.stderr.write(f"{file.name} is not today's: write it by `make schemas`\n")
        return 1
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(render(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
