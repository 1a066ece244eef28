"""The arguments of a tool call, made from the tool's own JSON Schema: valid JSON, the same for the same schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from deploy.local.provider.ask import ToolCall
from deploy.local.provider.errors import RefusedError
from deploy.local.provider.tokens import CHARS_PER_TOKEN

DEPTH_MAX = 16
NODES_MAX = 1_000
"""A schema may refer to itself: past these bounds null is written."""

_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00",
    "email": "someone@example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_BOUNDS = (("minimum", 0), ("exclusiveMinimum", 1), ("maximum", 0), ("exclusiveMaximum", -1))


def call_of(function: Mapping[str, Any]) -> ToolCall:
    """Call a function as OpenAI declares it (`name`, `parameters`). Raises RefusedError (400) on a broken schema."""
    name = str(function["name"])
    schema = function.get("parameters")
    try:
        value = Example(schema).of(schema) if isinstance(schema, dict) else {}
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        message = f"Invalid schema for function '{name}': {error}."
        raise RefusedError(400, message, param="tools", code="invalid_function_parameters") from error
    return ToolCall(name, orjson.dumps(value).decode())


def tool_tokens(tool: ToolCall) -> int:
    """Output tokens of a call that nobody scripted."""
    return -(-(len(tool.name) + len(tool.arguments)) // CHARS_PER_TOKEN)


def json_of(schema: Any) -> str:
    """JSON text that fits a schema. Raises RefusedError (400) on a broken one."""
    return call_of({"name": "the output format", "parameters": schema}).arguments


class Example:
    """Makes one value that fits a schema. `root` is where the schema's local `$ref`s point."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._left = NODES_MAX

    def of(self, schema: Any, depth: int = 0) -> Any:
        """The value for `schema`, a part of the root."""
        self._left -= 1
        if not isinstance(schema, dict) or depth > DEPTH_MAX or self._left < 0:
            return None
        if "$ref" in schema:
            return self.of(self._resolve(str(schema["$ref"])), depth + 1)
        for literal in ("const", "default"):
            if literal in schema:
                return schema[literal]
        for choices in ("enum", "examples"):
            if schema.get(choices):
                return schema[choices][0]
        for union in ("anyOf", "oneOf", "allOf"):
            if schema.get(union):
                return self.of(schema[union][0], depth + 1)
        return self._of_type(schema, depth)

    def _of_type(self, schema: Mapping[str, Any], depth: int) -> Any:
        match _type_name(schema):
            case "object":
                fields = schema.get("properties") or {}
                return {name: self.of(field, depth + 1) for name, field in fields.items()}
            case "array":
                items = schema.get("items")
                count = min(max(int(schema.get("minItems", 1)), 1), NODES_MAX) if items else 0
                return [self.of(items, depth + 1) for _ in range(count)]
            case "string":
                return _string(schema)
            case "integer" | "number":
                return _number(schema)
            case "boolean":
                return True
            case _:
                return None

    def _resolve(self, reference: str) -> Any:
        node: Any = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            if part:
                node = node[part.replace("~1", "/").replace("~0", "~")]
        return node


def _type_name(schema: Mapping[str, Any]) -> str:
    name = schema.get("type") or ("object" if "properties" in schema else "string")
    if isinstance(name, Sequence) and not isinstance(name, str):
        name = next((item for item in name if item != "null"), "null")
    return str(name)


def _string(schema: Mapping[str, Any]) -> str:
    value = _FORMATS.get(str(schema.get("format")), "filler")
    short = min(int(schema.get("minLength", 0)), NODES_MAX)
    return value.ljust(short, "x")[: int(schema.get("maxLength", NODES_MAX))]


def _number(schema: Mapping[str, Any]) -> Any:
    for bound, step in _BOUNDS:
        if bound in schema:
            return schema[bound] + step
    return 1
