"""The parts of a chat completion request, as other formats need them: texts, data addresses, tool calls. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from services.router.dialects.dialect import no_meaning

Json = dict[str, Any]
SYSTEM_ROLES = frozenset({"system", "developer"})
IGNORED = frozenset(
    {
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "metadata", "store", "user"),
        *("service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"),
    }
)
"""Parameters that carry no wish about the answer itself, or that router has read already."""


class Data(NamedTuple):
    """Bytes that a part brings along, in base64, or the address where they lie."""

    media_type: str | None
    data: str | None
    url: str | None


def said(body: Json) -> Iterator[tuple[str, Any]]:
    """Every parameter that asks for something, by name."""
    return ((name, value) for name, value in body.items() if value is not None and name not in IGNORED)


def text_of(content: Any, param: str) -> str:
    """The text of a message that may have nothing else."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join(part_text(part, f"{param}.{index}") for index, part in enumerate(content))


def part_text(part: Json, param: str) -> str:
    """The text of a part that must be one."""
    if part.get("type") not in {"text", "refusal"}:
        raise no_meaning(param, f"This route takes only text here, not a part of type {part.get('type')!r}.")
    value = part.get("text", part.get("refusal"))
    if not isinstance(value, str):
        raise no_meaning(param, "A text part needs a text.")
    return value


def image_of(part: Json, param: str) -> Data:
    """The image of an `image_url` part."""
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str) or not url:
        raise no_meaning(param, "An image part needs image_url.url.")
    return data_address(url, param)


def file_of(part: Json, param: str) -> Data:
    """The file of a `file` part, which must bring its own bytes: another provider does not have what was uploaded to one."""
    file = part.get("file")
    data = file.get("file_data") if isinstance(file, dict) else None
    if not isinstance(data, str):
        raise no_meaning(param, "This route takes files only with file_data: upload ids belong to one provider.")
    return data_address(data if data.startswith("data:") else f"data:application/pdf;base64,{data}", param)


def data_address(url: str, param: str) -> Data:
    """A `data:` address taken apart, or another address as it is."""
    if not url.startswith("data:"):
        return Data(None, None, url)
    head, comma, data = url[5:].partition(",")
    media_type, _, encoding = head.partition(";")
    if not comma or encoding != "base64" or "/" not in media_type or not _is_base64(data):
        raise no_meaning(param, "A data address must look like data:image/png;base64,…")
    return Data(media_type, data, None)


def arguments_of(call: Json, param: str) -> Json:
    """A tool call's arguments as an object."""
    try:
        found = orjson.loads(call["function"]["arguments"] or "{}")
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise no_meaning(param, "A tool call's arguments must be a JSON object in a string.") from None
    if not isinstance(found, dict):
        raise no_meaning(param, "A tool call's arguments must be a JSON object in a string.")
    return found


def functions_of(tools: Any, param: str = "tools") -> list[Json]:
    """The functions among the tools; another kind of tool belongs to one provider."""
    if not isinstance(tools, list):
        raise no_meaning(param, "tools must be a list.")
    found = []
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise no_meaning(f"{param}.{index}", "This route takes only tools of type function, with a name.")
        found.append(function)
    return found


def tool_wish(choice: Any) -> tuple[str, str | None]:
    """(auto, none, required or function; the function's name) of a `tool_choice`."""
    if isinstance(choice, str) and choice in {"auto", "none", "required"}:
        return choice, None
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise no_meaning("tool_choice", 'tool_choice is "auto", "none", "required" or a function by its name.')
    return "function", name


def stops(value: Any) -> list[str]:
    """Stop sequences as a list."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise no_meaning("stop", "stop must be a string or a list of strings.")
    return found


def number(name: str, value: Any, low: float, high: float, expected: str) -> float:
    """A number within what the route takes."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise no_meaning(name, f"This route takes {name} {expected}.")
    return value


def schema_wish(value: Any) -> Json | None:
    """The JSON schema that a `response_format` asks for, {} for any JSON object, None for plain text."""
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return {}
    wanted = value.get("json_schema") if kind == "json_schema" else None
    schema = wanted.get("schema") if isinstance(wanted, dict) else None
    if not isinstance(schema, dict):
        raise no_meaning("response_format", "response_format is text, json_object, or json_schema with a schema.")
    return schema


def _is_base64(data: str) -> bool:
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
